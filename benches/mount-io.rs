// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The loops of benches/mount: `read FILE MIB`, `write FILE MIB`, `random FILE COUNT`. Prints the seconds it took.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [work, path, count] = &words[..] else { panic!("read|write|random FILE COUNT") };
    let count: u64 = count.parse().expect("a number");
    let mut buffer = vec![0x5a; 1 << 20];
    let start = Instant::now();
    match work.as_str() {
        "read" => {
            let file = File::open(path)?;
            for n in 0..count {
                file.read_exact_at(&mut buffer, n << 20)?;
            }
        }
        "write" => {
            let file = File::create(path)?;
            for n in 0..count {
                file.write_all_at(&buffer, n << 20)?;
            }
        }
        _ => {
            let file = File::open(path)?;
            let pages = file.metadata()?.len() / 4096;
            let mut place = 1u64;
            for _ in 0..count {
                // Knuth's multiplier; the high bits are the random ones.
                place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                file.read_exact_at(&mut buffer[..4096], (place >> 33) % pages * 4096)?;
            }
        }
    }
    println!("{}", start.elapsed().as_secs_f64());
    Ok(())
}
