//! Completions and manual pages, from the definition of the command line.

use std::fs;
use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Args;
use crate::report::{Failure, errno, print};

/// Prints the completions of a shell.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "gofer", &mut text);
    print(&text)
}

/// Prints the manual pages, or writes each into a file of `dir`.
pub(crate) fn man(dir: Option<&Path>) -> Result<(), Failure> {
    let unwritten = |path: &Path, error: &io::Error| {
        Failure::running(format!("cannot write {path:?}: {}; check the directory", errno(error)))
    };
    for (file, page) in pages().map_err(|error| unwritten(Path::new("the pages"), &error))? {
        match dir {
            None => print(&page)?,
            Some(dir) => {
                let path = dir.join(file);
                fs::write(&path, page).map_err(|error| unwritten(&path, &error))?;
            }
        }
    }
    Ok(())
}

/// The manual pages and their file names.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let all = std::iter::once(command.clone()).chain(command.get_subcommands().cloned());
    all.map(|command| {
        let man = Man::new(command);
        let mut page = Vec::new();
        man.render(&mut page)?;
        Ok((man.get_filename(), page))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every option there is.
    fn options() -> Vec<String> {
        let command = Args::command();
        let all =
            command.get_subcommands().flat_map(|sub| sub.get_arguments()).filter(|arg| !arg.is_hide_set());
        all.filter_map(|arg| arg.get_long()).map(str::to_owned).collect()
    }

    #[test]
    fn every_option_has_its_variable() {
        Args::command().debug_assert();
        assert!(options().contains(&"listen".to_owned()));
        let command = Args::command();
        for arg in command.find_subcommand("serve").unwrap().get_arguments() {
            let name = arg.get_long().unwrap_or("export");
            let variable = format!("GOFER_{}", name.to_uppercase().replace('-', "_"));
            assert_eq!(arg.get_env().unwrap().to_str(), Some(variable.as_str()));
        }
    }

    #[test]
    fn every_option_is_completed_in_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "gofer", &mut text);
            let text = String::from_utf8(text).unwrap();
            for option in options() {
                let word = if shell == Shell::Fish { format!("-l {option}") } else { format!("--{option}") };
                assert!(text.contains(&word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn every_option_is_in_the_manual() {
        let pages = pages().unwrap();
        let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
        let commands = [
            "serve",
            "ls",
            "tree",
            "stat",
            "cat",
            "cp",
            "mkdir",
            "rm",
            "df",
            "bench",
            "check",
            "mount",
            "demo",
            "runsc-install",
            "completions",
            "man",
        ];
        let expected = commands.map(|command| format!("gofer-{command}.1"));
        assert_eq!(names[0], "gofer.1");
        assert_eq!(names[1..], expected);
        let text = |page: &(String, Vec<u8>)| String::from_utf8(page.1.clone()).unwrap().replace('\\', "");
        let all: String = pages.iter().map(text).collect();
        for option in options() {
            assert!(all.contains(&format!("--{option}fR")), "{option}");
        }
        let serve = text(&pages[1]);
        assert!(serve.contains("GOFER_MAX_FIDS") && serve.contains("could not start"), "the notes below");
    }
}
