//! Prints a file of a server: `cargo run --example cat -- tcp:127.0.0.1:5640 path/to/file`

use gofer_client::{Client, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (address, path) = words.next().zip(words.next()).ok_or("usage: cat ADDR PATH")?;
    let client = Client::connect(&address.parse()?, &Options::default())?;
    std::io::copy(&mut client.reader(path)?, &mut std::io::stdout())?;
    Ok(())
}
