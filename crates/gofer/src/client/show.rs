//! How names, modes, sizes and times look.

use std::fmt::Write as _;
use std::io::IsTerminal;

use gofer_vfs::{Attr, FileKind, Time};
use serde_json::{Value, json};

/// A name or path as it can be given to a shell: as it is, or in `$'..'` where it has odd bytes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let plain = |c: char| !c.is_control() && !matches!(c, '\'' | '\\' | '"' | ' ' | '$' | '`');
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
        Ok(text) if text.chars().all(|c| plain(c) || matches!(c, ' ' | '"' | '$' | '`' | '\\')) => {
            format!("'{text}'")
        }
        _ => format!("$'{}'", escaped(bytes)),
    }
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\'' | '\\' => text.extend(['\\', c]),
                c if c.is_control() => {
                    let mut buffer = [0; 4];
                    c.encode_utf8(&mut buffer).bytes().for_each(|byte| octal(&mut text, byte));
                }
                c => text.push(c),
            }
        }
        chunk.invalid().iter().for_each(|byte| octal(&mut text, *byte));
    }
    text
}

/// Octal, for as many digits as it has can be followed by any.
fn octal(text: &mut String, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(text, "\\{byte:03o}");
}

/// Whether standard output may be coloured.
pub(crate) fn coloured() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !forbidden && std::io::stdout().is_terminal()
}

/// A name in the colour of its kind.
pub(super) fn name(bytes: &[u8], attr: Option<&Attr>, colour: bool) -> String {
    let name = quoted(bytes);
    let code = match attr.map(|attr| (attr.kind, attr.perm)) {
        _ if !colour => return name,
        Some((FileKind::Directory, _)) => "1;34",
        Some((FileKind::Symlink, _)) => "36",
        Some((FileKind::Regular, perm)) if perm & 0o111 != 0 => "32",
        Some((FileKind::Regular, _)) => return name,
        Some(_) => "33",
        None => "31",
    };
    format!("\x1b[{code}m{name}\x1b[0m")
}

/// Words of these widths, from top to bottom in as many columns as there is room for.
pub(super) fn columns(cells: &[(String, usize)], room: usize) -> String {
    /// The columns between two words, and the least that a word takes with them.
    const GAP: usize = 2;
    const LEAST: usize = GAP + 1;
    let widths = |rows: usize| -> Vec<usize> {
        let widest = |column: &[(String, usize)]| column.iter().map(|(_, width)| width + GAP).max();
        cells.chunks(rows).filter_map(widest).collect()
    };
    let rows = |columns: usize| cells.len().div_ceil(columns).max(1);
    let fits = |columns: &usize| widths(rows(*columns)).iter().sum::<usize>() <= room + GAP;
    let most = (room / LEAST).clamp(1, cells.len().max(1));
    let rows = rows((2..=most).rev().find(fits).unwrap_or(1));
    let widths = widths(rows);
    let mut text = String::new();
    for row in 0..rows.min(cells.len()) {
        let line: Vec<_> = cells.iter().skip(row).step_by(rows).zip(&widths).collect();
        for (number, ((word, width), column)) in line.iter().enumerate() {
            text.push_str(word);
            if number + 1 < line.len() {
                text.extend(std::iter::repeat_n(' ', *column - width));
            }
        }
        text.push('\n');
    }
    text
}

/// A kind in one letter, as `ls -l` has it.
fn letter(kind: FileKind) -> char {
    match kind {
        FileKind::Directory => 'd',
        FileKind::Regular => '-',
        FileKind::Symlink => 'l',
        FileKind::Socket => 's',
        FileKind::Fifo => 'p',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
    }
}

/// A kind in words.
pub(super) fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Directory => "directory",
        FileKind::Regular => "regular file",
        FileKind::Symlink => "symbolic link",
        FileKind::Socket => "socket",
        FileKind::Fifo => "FIFO",
        FileKind::CharDevice => "character device",
        FileKind::BlockDevice => "block device",
    }
}

/// `drwxr-xr-x`.
pub(super) fn mode(attr: &Attr) -> String {
    let mut text = String::from(letter(attr.kind));
    for (shift, special, marks) in [(6, 0o4000, ['s', 'S']), (3, 0o2000, ['s', 'S']), (0, 0o1000, ['t', 'T'])]
    {
        let bits = attr.perm >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (attr.perm & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, executes) => marks[usize::from(!executes)],
        });
    }
    text
}

/// A number of bytes: `1.5K`.
pub(super) fn bytes(count: u64, human: bool) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    if !human || count < 1024 {
        return count.to_string();
    }
    let (mut tenths, mut unit) = (u128::from(count) * 10, 0);
    tenths = tenths.div_ceil(1024);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = tenths.div_ceil(1024);
        unit += 1;
    }
    if tenths < 100 {
        format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{}{}", tenths.div_ceil(10), UNITS[unit])
    }
}

/// Days since 1970 as year, month and day, in the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Years of this reckoning begin in March, so that leap days come last; eras have 400 of them.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let (number, month) =
        (in_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (year + era * 400 + i64::from(month <= 2), month, number)
}

/// `2026-01-31 12:00`, in UTC.
pub(super) fn minute(time: Time) -> String {
    let (year, month, day) = date(time.sec().div_euclid(86_400));
    let second = time.sec().rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", second / 3600, second / 60 % 60)
}

/// `2026-01-31T12:00:00.000000001Z`.
pub(super) fn moment(time: Time) -> String {
    let (year, month, day) = date(time.sec().div_euclid(86_400));
    let second = time.sec().rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", time.nsec())
}

/// A file as JSON. A name that is not UTF-8 is told twice: as text with marks for what is not, and as bytes.
pub(super) fn json(name: &[u8], attr: &Attr, target: Option<&[u8]>) -> Value {
    let mut value = json!({
        "name": String::from_utf8_lossy(name),
        "kind": kind(attr.kind),
        "mode": format!("{:04o}", attr.perm),
        "uid": attr.uid.0,
        "gid": attr.gid.0,
        "links": attr.nlink,
        "size": attr.size,
        "blocks": attr.blocks,
        "modified": moment(attr.mtime),
        "accessed": moment(attr.atime),
        "changed": moment(attr.ctime),
        "created": attr.btime.map(moment),
        "device": format!("{}:{}", major(attr.rdev), minor(attr.rdev)),
    });
    if std::str::from_utf8(name).is_err() {
        value["name_bytes"] = json!(name);
    }
    if let Some(target) = target {
        value["target"] = json!(String::from_utf8_lossy(target));
    }
    if !is_device(attr) {
        value.as_object_mut().map(|object| object.remove("device"));
    }
    value
}

pub(super) fn is_device(attr: &Attr) -> bool {
    matches!(attr.kind, FileKind::CharDevice | FileKind::BlockDevice)
}

/// The major number in the kernel's user-space encoding.
pub(super) fn major(device: u64) -> u64 {
    (device >> 8) & 0xFFF | (device >> 32) & 0xFFFF_F000
}

/// The minor number.
pub(super) fn minor(device: u64) -> u64 {
    device & 0xFF | (device >> 12) & 0xFFFF_FF00
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_quoted_for_a_shell() {
        for (name, shown) in [
            (&b"plain.txt"[..], "plain.txt"),
            ("äöü€".as_bytes(), "äöü€"),
            (b"with space", "'with space'"),
            (b"$HOME `x` \\", "'$HOME `x` \\'"),
            (b"it's", "$'it\\'s'"),
            (b"new\nline\x1b[31m", "$'new\\nline\\033[31m'"),
            (b"\xff\xfe1", "$'\\377\\3761'"),
            (b"", "''"),
        ] {
            assert_eq!(quoted(name), shown);
        }
    }

    #[test]
    fn names_are_in_as_many_columns_as_fit() {
        let shown = |names: &[&str], room| {
            let cells: Vec<_> = names.iter().map(|name| ((*name).to_owned(), name.chars().count())).collect();
            columns(&cells, room)
        };
        let names = ["a", "bb", "ccc", "dddd", "e"];
        assert_eq!(shown(&names, 0), "a\nbb\nccc\ndddd\ne\n");
        assert_eq!(shown(&names, 9), "a    dddd\nbb   e\nccc\n");
        assert_eq!(shown(&names, 8), "a\nbb\nccc\ndddd\ne\n");
        assert_eq!(shown(&names, 80), "a  bb  ccc  dddd  e\n");
        assert_eq!(shown(&[], 80), "");
        assert_eq!(shown(&["longer than that"], 5), "longer than that\n");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let time = |sec| Time::new(sec, 5).unwrap();
        assert_eq!(minute(time(0)), "1970-01-01 00:00");
        assert_eq!(moment(time(951_827_696)), "2000-02-29T12:34:56.000000005Z");
        assert_eq!(minute(time(-1)), "1969-12-31 23:59");
        assert_eq!(minute(time(4_107_542_400)), "2100-03-01 00:00");
    }

    #[test]
    fn sizes_are_rounded_up() {
        for (count, shown) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1025, "1.1K"),
            (10 * 1024, "10K"),
            (1_048_575, "1.0M"),
            (5 << 30, "5.0G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(bytes(count, true), shown);
        }
        assert_eq!(bytes(123_456, false), "123456");
    }
}
