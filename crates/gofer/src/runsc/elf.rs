//! A copy of runsc that starts another program as its gofer.
//!
//! What runsc starts as its gofer, and as its sandbox, stands in one variable of the program: a string of Go, that is an
//! address and a length, of the text `/proc/self/exe`. The copy has another address there. Nothing is changed that is not
//! known for what it is; what is not recognised is refused.

use std::ops::Range;

/// What the variable says in a runsc that nobody has changed.
const OWN: &[u8] = b"/proc/self/exe";

/// Other texts that every runsc has.
const MARKS: [&[u8]; 2] = [b"runsc-gofer", b"runsc-sandbox"];

/// Sizes of ELF's structures for 64 bits (`elf(5)`).
const HEADER: usize = 64;
const SEGMENT: usize = 56;

/// `PT_LOAD`, `PF_X`, `PF_W`.
const LOADED: u32 = 1;
const EXECUTABLE: u32 = 1;
const WRITABLE: u32 = 2;

/// The unit of memory and file that segments share.
const PAGE: u64 = 4096;

/// Why a program cannot be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("it is no 64-bit little-endian ELF program")]
    NotElf,
    #[error("it is a program that is placed anywhere in memory, and its variables are not known")]
    Movable,
    #[error("it is no runsc: the names by which that starts itself are not in it")]
    NotRunsc,
    #[error("no variable in it says what to start as the gofer; it may be such a copy already")]
    NoVariable,
    #[error("{0} variables in it may be the one that says what to start as the gofer")]
    Ambiguous(usize),
    #[error("there is no room in it for a path of {0} bytes")]
    NoRoom(usize),
}

/// A part of the program that is mapped from the file.
#[derive(Clone, Debug)]
struct Segment {
    /// Where its header is.
    header: usize,
    flags: u32,
    offset: u64,
    address: u64,
    size: u64,
    /// In memory; there may be more of it than in the file.
    memory: u64,
}

impl Segment {
    /// Where it is in the file; `None` where the file has no such place.
    fn bytes(&self) -> Option<Range<usize>> {
        let end = self.offset.checked_add(self.size)?;
        Some(usize::try_from(self.offset).ok()?..usize::try_from(end).ok()?)
    }
}

/// Makes the program start `path` where it started itself.
///
/// # Errors
/// What is not recognised; the program is as it was.
pub(crate) fn redirect(program: &mut [u8], path: &[u8]) -> Result<(), Unknown> {
    let segments = segments(program)?;
    if !MARKS.iter().all(|mark| find(program, mark).next().is_some()) {
        return Err(Unknown::NotRunsc);
    }
    let variable = variable(program, &segments)?;
    let (segment, at, address) = room(program, &segments, path.len())?;
    let size = segment.size + len(path.len());
    program[at..at + path.len()].copy_from_slice(path);
    // What is read is what is mapped: this many bytes of the file, and no more of memory than of the file.
    put(program, segment.header + 32, size);
    put(program, segment.header + 40, size);
    put(program, variable, address);
    put(program, variable + 8, len(path.len()));
    Ok(())
}

/// What is mapped of the file.
fn segments(program: &[u8]) -> Result<Vec<Segment>, Unknown> {
    let header = program.get(..HEADER).ok_or(Unknown::NotElf)?;
    // The class, and the order of bytes.
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err(Unknown::NotElf);
    }
    match u16_at(header, 16) {
        Some(2) => {}
        Some(3) => return Err(Unknown::Movable),
        _ => return Err(Unknown::NotElf),
    }
    let start = u64_at(header, 32).and_then(|offset| usize::try_from(offset).ok()).ok_or(Unknown::NotElf)?;
    let (size, count) = (u16_at(header, 54), u16_at(header, 56).ok_or(Unknown::NotElf)?);
    if size.map(usize::from) != Some(SEGMENT) {
        return Err(Unknown::NotElf);
    }
    let headers = (0..usize::from(count)).map(|n| start.checked_add(n * SEGMENT));
    let segments: Option<Vec<_>> = headers.map(|header| segment(program, header?)).collect();
    Ok(segments.ok_or(Unknown::NotElf)?.into_iter().flatten().collect())
}

/// A segment whose whole content is in the file is `Some(Some(_))`, another `Some(None)`.
#[expect(clippy::option_option, reason = "no header is not the same as the header of something else")]
fn segment(program: &[u8], header: usize) -> Option<Option<Segment>> {
    let field = |at: usize| u64_at(program, header.checked_add(at)?);
    let kind = u32_at(program, header)?;
    let found = Segment {
        header,
        flags: u32_at(program, header.checked_add(4)?)?,
        offset: field(8)?,
        address: field(16)?,
        size: field(32)?,
        memory: field(40)?,
    };
    let is_there = found.bytes().is_some_and(|bytes| program.get(bytes).is_some());
    Some((kind == LOADED && is_there).then_some(found))
}

/// Where the variable is.
fn variable(program: &[u8], segments: &[Segment]) -> Result<usize, Unknown> {
    let texts = find(program, OWN).filter_map(|at| {
        let at = len(at);
        let home = segments
            .iter()
            .find(|one| one.flags & WRITABLE == 0 && (one.offset..one.offset + one.size).contains(&at))?;
        Some(home.address.wrapping_add(at - home.offset))
    });
    let pairs: Vec<Vec<u8>> =
        texts.map(|text| [text.to_le_bytes(), len(OWN.len()).to_le_bytes()].concat()).collect();
    let data = segments.iter().filter(|one| one.flags & WRITABLE != 0).filter_map(Segment::bytes);
    let found: Vec<usize> = data
        .flat_map(|bytes| {
            let start = bytes.start;
            pairs.iter().flat_map(move |pair| find(&program[bytes.clone()], pair).map(move |at| start + at))
        })
        // A variable is where its type lets it be.
        .filter(|at| at % 8 == 0)
        .collect();
    match found[..] {
        [] => Err(Unknown::NoVariable),
        [one] => Ok(one),
        _ => Err(Unknown::Ambiguous(found.len())),
    }
}

/// Room behind a segment that is not written to, up to the end of its last page: where in the file, and at which address.
fn room<'s>(
    program: &[u8],
    segments: &'s [Segment],
    length: usize,
) -> Result<(&'s Segment, usize, u64), Unknown> {
    let read_only = segments.iter().filter(|one| one.flags & WRITABLE == 0);
    // Rather among data than behind code.
    let (code, data): (Vec<_>, Vec<_>) = read_only.partition(|one| one.flags & EXECUTABLE != 0);
    let behind = |one: &'s Segment| {
        let (start, address) = (one.offset.checked_add(one.size)?, one.address.checked_add(one.size)?);
        let end = start.checked_add(len(length))?;
        let is_free = segments.iter().all(|other| other.offset >= end || other.offset + other.size <= start);
        let at = usize::try_from(start).ok()?;
        let is_empty = program.get(at..at.checked_add(length)?)?.iter().all(|byte| *byte == 0);
        let fits = end <= start.next_multiple_of(PAGE) && start % PAGE == address % PAGE;
        (is_free && is_empty && fits && one.memory == one.size).then_some((one, at, address))
    };
    data.into_iter().chain(code).find_map(behind).ok_or(Unknown::NoRoom(length))
}

/// Where some bytes are.
fn find<'a>(haystack: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = needle.first().copied();
    let starts = haystack.iter().enumerate().filter(move |(_, byte)| Some(**byte) == first);
    starts.map(|(at, _)| at).filter(move |at| haystack[*at..].starts_with(needle))
}

/// A number of bytes, which is never more than 64 bits.
fn len(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn put(program: &mut [u8], at: usize, value: u64) {
    program[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u64 = 0x40_0000;
    const DATA: u64 = 0x60_0000;
    const PATH: &[u8] = b"/opt/gofer/gofer";

    /// A program of two segments, of a page each: constants, and variables of which `variables` say what to start.
    fn program(kind: u16, constants: &[&[u8]], variables: usize) -> Vec<u8> {
        let mut program = vec![0; 3 * 4096];
        program[..6].copy_from_slice(b"\x7fELF\x02\x01");
        program[16..18].copy_from_slice(&kind.to_le_bytes());
        put(&mut program, 32, 64);
        program[54..56].copy_from_slice(&56_u16.to_le_bytes());
        program[56..58].copy_from_slice(&2_u16.to_le_bytes());
        let text = constants.concat();
        for (n, (flags, offset, address, size)) in
            [(4_u32, 4096, TEXT, len(text.len())), (6, 8192, DATA, 4096)].into_iter().enumerate()
        {
            let header = 64 + n * SEGMENT;
            program[header..header + 4].copy_from_slice(&LOADED.to_le_bytes());
            program[header + 4..header + 8].copy_from_slice(&flags.to_le_bytes());
            for (at, value) in [(8, offset), (16, address), (32, size), (40, size)] {
                put(&mut program, header + at, value);
            }
        }
        program[4096..4096 + text.len()].copy_from_slice(&text);
        let own = find(&text, OWN).next().unwrap_or(0);
        for n in 0..variables {
            put(&mut program, 8192 + 64 * n + 8, TEXT + len(own));
            put(&mut program, 8192 + 64 * n + 16, 14);
        }
        program
    }

    const RUNSC: [&[u8]; 4] = [b"abrunsc-gofer", OWN, b"runsc-sandbox", b"z"];

    #[test]
    fn only_the_variable_and_free_room_change() {
        let mut changed = program(2, &RUNSC, 1);
        let (before, end) = (changed.clone(), 4096 + RUNSC.concat().len());
        redirect(&mut changed, PATH).unwrap();
        assert_eq!(&changed[end..end + PATH.len()], PATH);
        assert_eq!(u64_at(&changed, 8200), Some(TEXT + len(end - 4096)));
        assert_eq!(u64_at(&changed, 8208), Some(len(PATH.len())));
        let size = len(end - 4096 + PATH.len());
        assert_eq!((u64_at(&changed, 64 + 32), u64_at(&changed, 64 + 40)), (Some(size), Some(size)));
        let differs = (0..changed.len()).filter(|at| changed[*at] != before[*at]);
        let expected = |at: usize| {
            (end..end + PATH.len()).contains(&at) || (8200..8216).contains(&at) || (96..112).contains(&at)
        };
        assert!(differs.into_iter().all(expected));
        assert_eq!(redirect(&mut changed, PATH), Err(Unknown::NoVariable), "it is a copy already");
    }

    #[test]
    fn what_is_not_recognised_stays_as_it_is() {
        let big = vec![b'x'; 4096 - RUNSC.concat().len() - 5];
        let full = [&RUNSC[..], &[&big[..]]].concat();
        for (name, mut program, why) in [
            ("no ELF", b"#!/bin/sh\n".to_vec(), Unknown::NotElf),
            ("32 bits", [b"\x7fELF\x01\x01", &[0; 80][..]].concat(), Unknown::NotElf),
            ("a library", program(3, &RUNSC, 1), Unknown::Movable),
            ("another program", program(2, &[OWN], 1), Unknown::NotRunsc),
            ("no variable", program(2, &RUNSC, 0), Unknown::NoVariable),
            ("two", program(2, &RUNSC, 2), Unknown::Ambiguous(2)),
            ("no room", program(2, &full, 1), Unknown::NoRoom(PATH.len())),
        ] {
            let before = program.clone();
            assert_eq!(redirect(&mut program, PATH), Err(why), "{name}");
            assert_eq!(program, before, "{name}");
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let whole = program(2, &RUNSC, 1);
        for cut in [0, 5, 63, 64, 120, 175, 4097, 8191, 8200, 8215] {
            assert!(redirect(&mut whole[..cut].to_vec(), PATH).is_err(), "{cut}");
        }
        for at in (0..176).step_by(2) {
            let mut lies = whole.clone();
            lies[at..at + 2].fill(0xff);
            // Whatever comes of it, it ends.
            let _ = redirect(&mut lies, PATH);
        }
    }
}
