//! [`Page`]: text of 80 columns, with colours on a terminal.

use crate::client::coloured;
use crate::report::{Failure, print};

/// What stands before every line below a heading.
pub(super) const INDENT: &str = "   ";

/// The columns of a line.
pub(super) const WIDTH: usize = 80;

/// Where it is written to, as it is made.
pub(super) struct Page {
    colour: bool,
}

/// How a word looks.
#[derive(Clone, Copy)]
pub(super) enum Ink {
    Bold,
    Good,
    Bad,
    Bar,
    Faint,
}

impl Page {
    pub(super) fn new() -> Self {
        Self { colour: coloured() }
    }

    /// Words in an ink.
    pub(super) fn ink(&self, ink: Ink, words: &str) -> String {
        let code = match ink {
            _ if !self.colour => return words.to_owned(),
            Ink::Bold => "1",
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Bar => "36",
            Ink::Faint => "2",
        };
        format!("\x1b[{code}m{words}\x1b[0m")
    }

    pub(super) fn title(&self, title: &str) -> Result<(), Failure> {
        print(format!("\n{}\n", self.ink(Ink::Bold, title)).as_bytes())
    }

    pub(super) fn heading(&self, heading: &str) -> Result<(), Failure> {
        print(format!("\n{}\n", self.ink(Ink::Bold, heading)).as_bytes())
    }

    /// A line as it is.
    pub(super) fn line(&self, line: &str) -> Result<(), Failure> {
        print(format!("{INDENT}{line}\n").as_bytes())
    }

    /// Something to type.
    pub(super) fn command(&self, command: &str) -> Result<(), Failure> {
        self.line(&format!("{} {}", self.ink(Ink::Faint, "$"), self.ink(Ink::Bold, command)))
    }

    /// A fact with a mark that says whether it is good, in as many lines as it takes.
    pub(super) fn fact(&self, good: bool, label: &str, fact: &str) -> Result<(), Failure> {
        const LABEL: usize = 15;
        let mark = if good { self.ink(Ink::Good, "✓") } else { self.ink(Ink::Bad, "✗") };
        let room = WIDTH - INDENT.len() - 2 - LABEL;
        let mut start = format!("{mark} {label:<LABEL$}");
        for line in wrapped(fact, room) {
            self.line(&format!("{start}{line}"))?;
            start = " ".repeat(2 + LABEL);
        }
        Ok(())
    }

    /// Sentences, in as many lines as they take.
    pub(super) fn text(&self, text: &str) -> Result<(), Failure> {
        wrapped(text, WIDTH - INDENT.len()).iter().try_for_each(|line| self.line(line))
    }
}

/// The words of a text in lines of at most so many columns. A word that is longer has a line of its own.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_long_as_they_may_be() {
        assert_eq!(wrapped("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrapped("a longer-than-that é", 6), ["a", "longer-than-that", "é"]);
        assert_eq!(wrapped("", 6), [""]);
    }
}
