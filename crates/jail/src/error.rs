//! [`Error`]: a step that was refused.

use std::fmt;

use gofer_vfs::Errno;

use crate::Strength;

/// A part of what is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// Descriptors that the process was started with.
    Descriptors,
    /// Namespaces.
    Namespaces,
    /// Which users and groups exist in the namespace.
    Ids,
    /// The mounts and the root.
    Root,
    /// Limits of resources.
    Limits,
    /// Gaining rights, and showing memory.
    Privileges,
    /// Capabilities.
    Capabilities,
    /// Landlock.
    Landlock,
    /// The families of sockets.
    Families,
    /// The filter of system calls.
    Seccomp,
}

const LAYERS: [Layer; 10] = [
    Layer::Descriptors,
    Layer::Namespaces,
    Layer::Ids,
    Layer::Root,
    Layer::Limits,
    Layer::Privileges,
    Layer::Capabilities,
    Layer::Landlock,
    Layer::Families,
    Layer::Seccomp,
];

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Descriptors => "descriptors",
            Self::Namespaces => "namespaces",
            Self::Ids => "ids",
            Self::Root => "root",
            Self::Limits => "limits",
            Self::Privileges => "privileges",
            Self::Capabilities => "capabilities",
            Self::Landlock => "landlock",
            Self::Families => "families",
            Self::Seccomp => "seccomp",
        })
    }
}

/// With how much less it can be done without, where somebody chooses that.
const STRENGTHS: [Option<Strength>; 4] =
    [None, Some(Strength::Auto), Some(Strength::Landlock), Some(Strength::None)];

/// What cannot be given up, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be sealed ({layer}): {what}: {errno}; {fix}{}", or_say(*.instead))]
pub struct Error {
    /// The part that was refused.
    pub layer: Layer,
    /// What was tried.
    pub what: String,
    /// Why not.
    pub errno: Errno,
    /// What to do about it.
    pub fix: String,
    /// What to ask for where nothing is done about it.
    pub instead: Option<Strength>,
}

/// How the program is asked for less.
fn or_say(instead: Option<Strength>) -> &'static str {
    match instead {
        None => "",
        Some(Strength::Auto) => ", or say --sandbox auto",
        Some(Strength::Full) => ", or say --sandbox full",
        Some(Strength::Landlock) => ", or say --sandbox landlock",
        Some(Strength::None) => ", or say --sandbox none",
    }
}

impl Error {
    pub(crate) fn new(layer: Layer, what: impl Into<String>, errno: Errno, fix: impl Into<String>) -> Self {
        Self { layer, what: what.into(), errno, fix: fix.into(), instead: None }
    }

    /// The same where less could be asked for instead.
    pub(crate) fn or(self, instead: Strength) -> Self {
        Self { instead: Some(instead), ..self }
    }

    /// The same for somebody who does not choose how much is given up.
    pub(crate) fn without_choice(self) -> Self {
        Self { instead: None, ..self }
    }

    /// The same where something else can be done about it, too.
    pub(crate) fn or_fix(self, fix: &str) -> Self {
        Self { fix: format!("{}, or {fix}", self.fix), ..self }
    }

    /// As the second process tells it to the first.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let layer = LAYERS.iter().position(|layer| *layer == self.layer).unwrap_or(0);
        let instead = STRENGTHS.iter().position(|strength| *strength == self.instead).unwrap_or(0);
        format!("{layer}\0{instead}\0{}\0{}\0{}", self.errno.number(), self.what, self.fix).into_bytes()
    }

    /// What was told; `None` when it is no error.
    pub(crate) fn decode(said: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(said).ok()?.splitn(5, '\0');
        let layer = *LAYERS.get(words.next()?.parse::<usize>().ok()?)?;
        let instead = *STRENGTHS.get(words.next()?.parse::<usize>().ok()?)?;
        let errno = Errno::new(words.next()?.parse().ok()?)?;
        Some(Self { instead, ..Self::new(layer, words.next()?, errno, words.next()?) })
    }
}

/// A filter (`seccomp(2)`) that cannot be had.
pub(crate) fn no_filter(layer: Layer, what: &str, errno: Errno) -> Error {
    let fix = match errno {
        Errno::EINVAL | Errno::ENOSYS => "use a kernel with CONFIG_SECCOMP_FILTER on x86-64 or aarch64",
        _ => "allow seccomp(2)",
    };
    Error::new(layer, what, errno, fix).or(Strength::None)
}

/// What no system that can run this refuses.
pub(crate) fn impossible(errno: Errno) -> Error {
    Error::new(Layer::Namespaces, "talking to the second process", errno, "try again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_was_refused() {
        for layer in LAYERS {
            let error = Error::new(layer, "a thing", Errno::EPERM, "do another; or none");
            assert_eq!(Error::decode(&error.encode()), Some(error.clone()));
            assert!(error.to_string().contains(&layer.to_string()));
            for strength in STRENGTHS.into_iter().flatten() {
                let error = error.clone().or(strength);
                assert_eq!(Error::decode(&error.encode()), Some(error.clone()));
                let said = format!("{strength:?}").to_lowercase();
                assert!(
                    error.to_string().ends_with(&format!("; do another; or none, or say --sandbox {said}"))
                );
            }
        }
        assert_eq!(Error::decode(b"sealed"), None);
    }
}
