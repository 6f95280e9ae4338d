//! The specification of the container (OCI runtime-spec, `config.json`), as far as it says what is served.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::report::Failure;

/// A container.
#[derive(Debug, Deserialize)]
pub(crate) struct Spec {
    root: Root,
    process: Option<Process>,
    /// What the runtime writes as null is no list, and no error.
    mounts: Option<Vec<Mount>>,
}

#[derive(Debug, Deserialize)]
struct Root {
    path: PathBuf,
    readonly: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Process {
    cwd: Option<String>,
}

/// Something to be seen in the container, somewhere else than it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Mount {
    pub(crate) destination: String,
    #[serde(rename = "type", skip_serializing_if = "is_empty")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "is_empty")]
    source: Option<String>,
    #[serde(skip_serializing_if = "has_none")]
    options: Option<Vec<String>>,
    /// What is passed on as it is.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn is_empty(text: &Option<String>) -> bool {
    text.as_ref().is_none_or(String::is_empty)
}

fn has_none(list: &Option<Vec<String>>) -> bool {
    list.as_ref().is_none_or(Vec::is_empty)
}

impl Spec {
    /// Reads a specification; what is relative in it is so to `bundle`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(text: &[u8], bundle: &Path) -> Result<Self, Failure> {
        let wrong =
            |why: String| Failure::start(format!("reading spec: {why}; correct config.json in {bundle:?}"));
        let mut spec: Self = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        if spec.root.path.as_os_str().is_empty() {
            return Err(wrong("root.path is empty".to_owned()));
        }
        spec.root.path = bundle.join(&spec.root.path);
        for mount in spec.mounts.iter_mut().flatten() {
            if !mount.destination.starts_with('/') {
                return Err(wrong(format!("the mount destination {:?} is not absolute", mount.destination)));
            }
            let relative = mount.source.take_if(|source| !source.is_empty() && !source.starts_with('/'));
            if let Some(source) = relative {
                // Both were text.
                mount.source = Some(bundle.join(source).to_string_lossy().into_owned());
            }
        }
        Ok(spec)
    }

    /// The root directory, and whether it is read-only.
    pub(crate) fn root(&self) -> (&Path, bool) {
        (&self.root.path, self.root.readonly.unwrap_or(false))
    }

    /// The working directory of the container's first process.
    pub(crate) fn cwd(&self) -> Option<&str> {
        self.process.as_ref()?.cwd.as_deref().filter(|cwd| !cwd.is_empty())
    }

    /// What is mounted, in this order.
    pub(crate) fn into_mounts(self) -> Vec<Mount> {
        self.mounts.unwrap_or_default()
    }
}

impl Mount {
    fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().flatten().any(|given| given == option)
    }

    /// What a gofer serves of the host, if it does.
    pub(crate) fn bound(&self) -> Option<&Path> {
        let is_bind = self.is("bind") || self.has("bind") || self.has("rbind");
        self.source.as_deref().filter(|source| is_bind && !source.is_empty()).map(Path::new)
    }

    /// Whether it is an image that the sandbox reads itself.
    pub(crate) fn is_image(&self) -> bool {
        self.is("erofs")
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.has("ro")
    }

    /// Tells the sandbox something about what the mount is of.
    pub(crate) fn add_option(&mut self, option: &str) {
        self.options.get_or_insert_default().push(option.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<Spec, Failure> {
        Spec::read(text.as_bytes(), Path::new("/bundle"))
    }

    fn mount(text: &str) -> Mount {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_relative_is_so_to_the_bundle() {
        let spec = spec(
            r#"{"ociVersion":"1.0.0","root":{"path":"rootfs","readonly":true},"process":{"cwd":"/","args":["a"]},
                "mounts":[{"destination":"/proc","type":"proc","source":"proc"},
                          {"destination":"/rw","type":"bind","source":"src","options":["rbind","rw"]},
                          {"destination":"/x","type":"tmpfs","source":"","options":null},
                          {"destination":"/data","source":"/x/f","options":["bind"],"uidMappings":[{"hostID":1}]}]}"#,
        )
        .unwrap();
        assert_eq!(spec.root(), (Path::new("/bundle/rootfs"), true));
        assert_eq!(spec.cwd(), Some("/"));
        assert_eq!(
            serde_json::to_string(&spec.into_mounts()).unwrap(),
            concat!(
                r#"[{"destination":"/proc","type":"proc","source":"/bundle/proc"},"#,
                r#"{"destination":"/rw","type":"bind","source":"/bundle/src","options":["rbind","rw"]},"#,
                r#"{"destination":"/x","type":"tmpfs"},"#,
                r#"{"destination":"/data","source":"/x/f","options":["bind"],"uidMappings":[{"hostID":1}]}]"#
            )
        );
    }

    #[test]
    fn nothing_but_the_root_is_needed() {
        let spec = spec(r#"{"root":{"path":"/"},"mounts":null}"#).unwrap();
        assert_eq!((spec.root(), spec.cwd()), ((Path::new("/"), false), None));
        assert_eq!(serde_json::to_string(&spec.into_mounts()).unwrap(), "[]");
    }

    #[test]
    fn what_cannot_be_served_is_told() {
        for (text, why) in [
            ("{", "line 1"),
            ("{}", "root"),
            (r#"{"root":{"path":""}}"#, "root.path"),
            (r#"{"root":{"path":"/"},"mounts":[{"destination":"a"}]}"#, "absolute"),
        ] {
            let message = spec(text).unwrap_err().to_string();
            assert!(message.contains(why) && message.contains("config.json"), "{text}: {message}");
        }
    }

    #[test]
    fn bind_mounts_have_a_source_of_the_host() {
        for (text, bound) in [
            (r#"{"destination":"/a","type":"bind","source":"/s"}"#, Some("/s")),
            (r#"{"destination":"/a","type":"none","source":"/s","options":["rbind"]}"#, Some("/s")),
            (r#"{"destination":"/a","source":"/s","options":["ro","bind"]}"#, Some("/s")),
            (r#"{"destination":"/a","type":"bind","source":""}"#, None),
            (r#"{"destination":"/a","type":"bind"}"#, None),
            (r#"{"destination":"/a","type":"tmpfs","source":"/s","options":["ro"]}"#, None),
        ] {
            assert_eq!(mount(text).bound(), bound.map(Path::new), "{text}");
        }
        assert!(mount(r#"{"destination":"/a","options":["bind","ro"]}"#).is_read_only());
        assert!(!mount(r#"{"destination":"/a","options":["bind","rw"]}"#).is_read_only());
    }
}
