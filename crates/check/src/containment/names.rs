//! What is no name, in every message that carries one.

use gofer_vfs::Errno;
use gofer_wire::Str;
use gofer_wire::p9::Fid;

use super::{attack, export_root};
use crate::client::{ROOT, text};
use crate::names::{Fids, named};
use crate::verdict::{is_exact, note};
use crate::{Checked, Site, demand_eq};

/// Puts names into every message, and looks whether they did anything.
fn are_refused(site: &Site, names: &[(&[u8], Errno)]) -> Checked {
    attack(site, |arena| {
        let before = arena.tree();
        let mut wrong = Vec::new();
        for (name, errno) in names {
            let mut c = site.client();
            // What one of them did may be in the way of the next.
            let Ok(file) = c.at("file") else { break };
            let fids = Fids { dir: ROOT, file, unused: c.fid() };
            for request in named(fids, text("dir"), Str::new(name).expect("a string")) {
                if !c.may(request.number) || request.body.len() + 7 > c.msize() as usize {
                    continue;
                }
                let shown = name[..name.len().min(24)].escape_ascii();
                let answer = c.call_raw(request.number, &request.body).map(drop);
                // 9P2000 knows `..` in walks; that it ends at the root is another case.
                let is_dots = [&b""[..], b".", b".."].contains(name) && !is_exact();
                let is_attach = request.what.starts_with("attach");
                let leads_up = request.number == 110 || is_attach;
                match answer {
                    Err(Errno::ECONNRESET) if !is_exact() => {
                        note(format_args!("ends the connection for {} of \"{shown}\"", request.what));
                        c = site.client();
                        c.walk(ROOT, fids.file, &["file"]).expect("a file");
                        continue;
                    }
                    // There may be nothing below an export to attach.
                    Ok(()) if is_attach && !is_exact() => note(format_args!("attaches \"dir/{shown}\"")),
                    Err(found) => demand_eq!(Err::<(), _>(found), Err::<(), _>(*errno)),
                    Ok(()) if is_dots && leads_up => {
                        note(format_args!("{} serves \"{shown}\"", request.what));
                    }
                    Ok(()) => wrong.push(format!("{} of \"{shown}\"", request.what)),
                }
                // It may stand for something now.
                let _ = c.clunk(fids.unused);
            }
            if wrong.is_empty() {
                for fid in [fids.dir, fids.file] {
                    c.getattr(fid).expect("it stands for what it stood for");
                }
            }
        }
        assert!(wrong.is_empty(), "these succeed: {}", wrong.join(", "));
        assert!(arena.tree() == before, "something was changed");
    })
}

pub(super) fn dots_are_no_names(site: &Site) -> Checked {
    are_refused(site, &[(b"", Errno::EINVAL), (b".", Errno::EINVAL), (b"..", Errno::EINVAL)])
}

pub(super) fn slashes_are_no_names(site: &Site) -> Checked {
    let names: [&[u8]; 13] = [
        b"/",
        b"/dir",
        b"dir/",
        b"dir/inner",
        b"///",
        b"/etc/passwd",
        b"../",
        b"../..",
        b"../../etc/passwd",
        b"../../../../../../../../../../etc/passwd",
        b"dir/../..",
        b"./file",
        &[b'/'; 256],
    ];
    are_refused(site, &names.map(|name| (name, Errno::EINVAL)))
}

pub(super) fn nuls_are_no_names(site: &Site) -> Checked {
    let names: [&[u8]; 7] = [b"\0", b"\0file", b"fi\0le", b"file\0", b"..\0", b"/etc/passwd\0", &[0; 256]];
    are_refused(site, &names.map(|name| (name, Errno::EINVAL)))
}

pub(super) fn names_that_are_too_long_are_no_names(site: &Site) -> Checked {
    let names: [&[u8]; 4] = [&[b'n'; 256], &[b'n'; 4096], &[b'n'; 60_000], &[b'.'; 256]];
    are_refused(site, &names.map(|name| (name, Errno::ENAMETOOLONG)))
}

/// Whoever walks up from the root of an export stays there, or is refused.
pub(super) fn nothing_is_above_the_root(site: &Site) -> Checked {
    let (mut c, root) = export_root(site)?;
    for steps in 1..=8 {
        let up = vec![".."; steps];
        match c.walk(ROOT, Fid(900), &up) {
            Err(errno) => demand_eq!(errno, Errno::EINVAL),
            Ok(qids) => {
                let led = qids.last().copied().unwrap_or(root);
                assert!(!is_exact(), "a walk of {steps} `..` is served");
                assert!(led.path == root.path, "{steps} steps up from the root there is {led:?}");
                note("serves `..` in a walk, and stays at the root");
                // Not every server says the truth about it.
                let there = c.getattr(Fid(900))?.qid;
                assert!(there.path == root.path, "{steps} steps up from the root there is {there:?}");
                c.clunk(Fid(900))?;
            }
        }
    }
    Ok(())
}
