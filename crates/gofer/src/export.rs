//! Exports: `[NAME=]PATH[:OPTION[,OPTION..]]`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use gofer_vfs::{Name, NameBuf};

use crate::args::{ExportOption, ExportTable};
use crate::report::Failure;

/// A directory or file to serve.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    /// What a client attaches to; none for the only export, where the attach name is a path inside it.
    pub(crate) name: Option<NameBuf>,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Clients may change it.
    pub(crate) writable: bool,
    /// Clients may make device files.
    pub(crate) devices: bool,
    /// Clients may open FIFOs.
    pub(crate) fifos: bool,
    pub(crate) strict: bool,
}

impl Export {
    /// An export as written on the command line.
    ///
    /// The text before the first `=` is the name if it can be one. The text behind the last `:` is the list
    /// of options if it is empty or all of it is options. A path that is misread so is written with `./` or
    /// `/` before it and `:` behind it.
    pub(crate) fn parse(typed: &OsStr) -> Result<Self, Failure> {
        let bytes = typed.as_bytes();
        let (name, rest) = match split_once(bytes, b'=') {
            Some((before, rest)) => match Name::new(before) {
                Ok(name) => (Some(NameBuf::from(name)), rest),
                Err(_) => (None, bytes),
            },
            None => (None, bytes),
        };
        let (path, options) = split_options(rest);
        Self::new(typed, name, PathBuf::from(OsString::from_vec(path.to_vec())), &options)
    }

    /// An export as written in a configuration file.
    pub(crate) fn from_table(table: &ExportTable) -> Result<Self, Failure> {
        let name = table.name.as_deref().map(|text| match Name::new(text.as_bytes()) {
            Ok(name) => Ok(NameBuf::from(name)),
            Err(errno) => Err(Failure::usage(format!(
                "{text:?} cannot name an export: {errno}; write one path component without '/'"
            ))),
        });
        Self::new(table.path.as_os_str(), name.transpose()?, table.path.clone(), &table.options)
    }

    fn new(
        typed: &OsStr,
        name: Option<NameBuf>,
        path: PathBuf,
        options: &[ExportOption],
    ) -> Result<Self, Failure> {
        let has = |option| options.contains(&option);
        let refuse =
            |why: &str, fix: &str| Err(Failure::usage(format!("cannot serve {typed:?}: {why}; {fix}")));
        let writable = has(ExportOption::Rw);
        if path.as_os_str().is_empty() {
            return refuse("the path is empty", "write [NAME=]PATH[:OPTION,..]");
        }
        if writable && has(ExportOption::Ro) {
            return refuse("rw and ro contradict each other", "keep one of them");
        }
        if has(ExportOption::Devices) && !writable {
            return refuse("devices cannot be made in a read-only export", "add rw or leave devices out");
        }
        Ok(Self {
            name,
            path,
            writable,
            devices: has(ExportOption::Devices),
            fifos: has(ExportOption::Fifos),
            strict: has(ExportOption::Strict),
        })
    }

    /// The attach name a client would use for all of it.
    pub(crate) fn attach_name(&self) -> &OsStr {
        self.name.as_ref().map_or(OsStr::new("/"), |name| OsStr::from_bytes(name.as_name().as_bytes()))
    }
}

/// Gives every export a name where there are several, the last component of its path by default.
pub(crate) fn name_all(exports: &mut [Export]) -> Result<(), Failure> {
    if exports.len() < 2 {
        return Ok(());
    }
    let mut taken: Vec<(NameBuf, PathBuf)> = Vec::new();
    for export in exports {
        let name = match &export.name {
            Some(name) => name.clone(),
            None => default_name(&export.path)?,
        };
        if let Some((_, first)) = taken.iter().find(|(other, _)| other.as_name() == name.as_name()) {
            return Err(Failure::usage(format!(
                "two exports are named {name:?}: {first:?} and {:?}; name one of them otherwise: NAME=PATH",
                export.path
            )));
        }
        taken.push((name.clone(), export.path.clone()));
        export.name = Some(name);
    }
    Ok(())
}

fn default_name(path: &Path) -> Result<NameBuf, Failure> {
    let last = path.file_name().map_or(&b""[..], OsStrExt::as_bytes);
    Name::new(last).map(NameBuf::from).map_err(|_| {
        Failure::usage(format!(
            "the export {path:?} has no name: its path does not end in one and there are several exports; write NAME=PATH"
        ))
    })
}

/// The path and the options behind it.
fn split_options(bytes: &[u8]) -> (&[u8], Vec<ExportOption>) {
    let Some(colon) = bytes.iter().rposition(|byte| *byte == b':') else { return (bytes, Vec::new()) };
    let (path, list) = (&bytes[..colon], &bytes[colon + 1..]);
    if list.is_empty() {
        return (path, Vec::new());
    }
    let option = |word: &[u8]| ExportOption::from_str(std::str::from_utf8(word).ok()?, false).ok();
    match list.split(|byte| *byte == b',').map(option).collect() {
        Some(options) => (path, options),
        None => (bytes, Vec::new()),
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let n = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..n], &bytes[n + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Export, Failure> {
        Export::parse(OsStr::new(text))
    }

    /// Name, path, and the options that are on.
    fn parts(text: &str) -> (Option<String>, String, String) {
        let export = parse(text).unwrap();
        let name = export.name.as_ref().map(|name| name.as_name().as_bytes().escape_ascii().to_string());
        let on = [
            (export.writable, "rw"),
            (export.devices, "devices"),
            (export.fifos, "fifos"),
            (export.strict, "strict"),
        ];
        let on: Vec<_> = on.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        (name, export.path.display().to_string(), on.join(","))
    }

    #[test]
    fn an_export_is_name_path_and_options() {
        for (text, name, path, options) in [
            ("/srv", None, "/srv", ""),
            ("/srv:rw", None, "/srv", "rw"),
            ("data=/srv:rw,devices,fifos", Some("data"), "/srv", "rw,devices,fifos"),
            ("a=b", Some("a"), "b", ""),
            ("a=b=c:ro", Some("a"), "b=c", ""),
            ("/srv:fifos", None, "/srv", "fifos"),
            ("/srv:ro,strict", None, "/srv", "strict"),
        ] {
            assert_eq!(parts(text), (name.map(str::to_owned), path.to_owned(), options.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_no_option_belongs_to_the_path() {
        for (text, path, options) in [
            ("/srv:rx", "/srv:rx", ""),
            ("/srv:rw,", "/srv:rw,", ""),
            ("/srv:rw,x", "/srv:rw,x", ""),
            ("/srv:RW", "/srv:RW", ""),
            ("/a:b/c", "/a:b/c", ""),
            ("/a:b:rw", "/a:b", "rw"),
            ("/srv:rw:", "/srv:rw", ""),
            ("/srv::", "/srv:", ""),
            ("/srv:rw:ro", "/srv:rw", ""),
        ] {
            assert_eq!(parts(text), (None, path.to_owned(), options.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_name_belongs_to_the_path() {
        for (text, path) in [("./a=b", "./a=b"), ("/x/a=b", "/x/a=b"), ("=b", "=b"), ("..=b", "..=b")] {
            assert_eq!(parts(text), (None, path.to_owned(), String::new()), "{text}");
        }
        let bytes = OsStr::from_bytes(b"\xff=/srv/\xfe:rw");
        let export = Export::parse(bytes).unwrap();
        assert_eq!(export.name.unwrap().as_name().as_bytes(), b"\xff");
        assert_eq!(export.path.as_os_str().as_bytes(), b"/srv/\xfe");
        assert!(export.writable);
    }

    #[test]
    fn contradictions_are_refused() {
        for (text, why) in [
            ("", "path is empty"),
            ("a=", "path is empty"),
            (":rw", "path is empty"),
            ("/srv:rw,ro", "contradict"),
            ("/srv:devices", "read-only export"),
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("; "), "{text}: {message}");
        }
    }

    #[test]
    fn several_exports_have_names_of_their_own() {
        let named = |texts: &[&str]| {
            let mut exports: Vec<_> = texts.iter().map(|text| parse(text).unwrap()).collect();
            name_all(&mut exports).map(|()| {
                exports.iter().map(|e| e.attach_name().to_str().unwrap().to_owned()).collect::<Vec<_>>()
            })
        };
        assert_eq!(named(&["/srv/a"]).unwrap(), ["/"]);
        assert_eq!(named(&["x=/srv/a"]).unwrap(), ["x"]);
        assert_eq!(named(&["/srv/a", "y=/srv/b", "/srv/c/."]).unwrap(), ["a", "y", "c"]);
        let message = named(&["/srv/a", "/mnt/a"]).unwrap_err().to_string();
        assert!(message.contains("\"/srv/a\" and \"/mnt/a\""), "{message}");
        for nameless in ["/", ".", "a/.."] {
            let message = named(&["/srv/a", nameless]).unwrap_err().to_string();
            assert!(message.contains("NAME=PATH"), "{message}");
        }
    }
}
