//! [`Address`]: where to listen, as an operator writes it.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use gofer_sys::vsock::VsockAddr;

use crate::Error;

/// The forms of an address, for messages.
pub(crate) const FORMS: &str = "unix:PATH, tcp:HOST:PORT, vsock:CID:PORT (CID may be \"any\") or fd:N";

/// Where a server can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `unix:PATH`: a unix socket.
    Unix(PathBuf),
    /// `tcp:HOST:PORT`: an IP address and port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// `vsock:CID:PORT`: from virtual machines on this host; `any` for every CID.
    Vsock(VsockAddr),
    /// `fd:N`: a descriptor that the process was started with.
    Inherited(u32),
}

impl Address {
    /// Whether only this machine can reach it: everything but a TCP address beyond loopback. A virtual
    /// machine on the host counts as this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) | Self::Vsock(_) | Self::Inherited(_) => true,
        }
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = |why: String| Error::Address { text: text.to_owned(), why };
        let (kind, rest) = text.split_once(':').ok_or_else(|| refuse("it has no kind".to_owned()))?;
        match kind {
            "unix" if rest.is_empty() => Err(refuse("the path is empty".to_owned())),
            "unix" => Ok(Self::Unix(rest.into())),
            "tcp" => rest
                .to_socket_addrs()
                .map_err(|error| refuse(error.to_string()))?
                .next()
                .map(Self::Tcp)
                .ok_or_else(|| refuse("the host has no address".to_owned())),
            "vsock" => {
                let (cid, port) =
                    rest.split_once(':').ok_or_else(|| refuse("the port is missing".to_owned()))?;
                let number = |text: &str| text.parse::<u32>().map_err(|e| refuse(format!("\"{text}\": {e}")));
                let cid = if cid == "any" { u32::MAX } else { number(cid)? };
                Ok(Self::Vsock(VsockAddr { cid, port: number(port)? }))
            }
            "fd" => rest.parse().map(Self::Inherited).map_err(|e| refuse(format!("\"{rest}\": {e}"))),
            _ => Err(refuse(format!("\"{kind}\" is no kind of address"))),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Vsock(address) => write!(f, "vsock:{address}"),
            Self::Inherited(number) => write!(f, "fd:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_they_are_written() {
        for text in [
            "unix:/run/g.sock",
            "unix:rel:ative",
            "tcp:127.0.0.1:564",
            "tcp:[::1]:0",
            "vsock:any:5",
            "vsock:3:5",
            "fd:7",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_forms() {
        for text in [
            "",
            "unix",
            "unix:",
            "tcp:1",
            "tcp:127.0.0.1",
            "tcp:127.0.0.1:99999",
            "vsock:1",
            "vsock:x:1",
            "fd:-1",
            "fd:x",
            "udp:1:1",
        ] {
            let message = text.parse::<Address>().unwrap_err().to_string();
            assert!(message.contains("unix:PATH"), "{message}");
        }
    }

    #[test]
    fn only_tcp_beyond_loopback_is_remote() {
        let local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(local("tcp:127.0.0.1:1") && local("tcp:[::1]:1") && local("unix:x") && local("vsock:any:1"));
        assert!(!local("tcp:0.0.0.0:1") && !local("tcp:[::]:1") && !local("tcp:192.0.2.1:1"));
    }
}
