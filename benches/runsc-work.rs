// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Works on files, for benches/runsc. `work find DIR`, `work stat DIR ROUNDS`, `work create DIR FILES`,
//! `work write FILE MIB`, `work read FILE`. Says "start" before and "end" after what is measured.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["find", dir] => {
            say("start");
            let mut found = Vec::new();
            walk(Path::new(dir), &mut found)?;
            assert!(found.len() >= 20_000, "{} files", found.len());
        }
        ["stat", dir, rounds] => {
            let mut found = Vec::new();
            walk(Path::new(dir), &mut found)?;
            say("start");
            for _ in 0..number(rounds) {
                for path in &found {
                    fs::symlink_metadata(path)?;
                }
            }
        }
        ["create", dir, files] => {
            say("start");
            let paths: Vec<PathBuf> = (0..number(files)).map(|n| Path::new(dir).join(format!("file-{n}"))).collect();
            for path in &paths {
                File::create_new(path)?.write_all(&[b'x'; 100])?;
            }
            for path in &paths {
                fs::remove_file(path)?;
            }
        }
        ["write", path, mib] => {
            let (block, mut file) = (vec![b'x'; 1 << 20], File::create(path)?);
            say("start");
            for _ in 0..number(mib) {
                file.write_all(&block)?;
            }
            drop(file);
        }
        ["read", path] => {
            let (mut block, mut file) = (vec![0; 1 << 20], File::open(path)?);
            say("start");
            while file.read(&mut block)? > 0 {}
        }
        _ => panic!("no such work"),
    }
    say("end");
    Ok(())
}

fn number(word: &str) -> usize {
    word.parse().expect("a number")
}

fn say(word: &str) {
    println!("{word}");
    io::stdout().flush().expect("somebody reads it");
}

/// All files below a directory, each looked at.
fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.metadata()?.is_dir() {
            walk(&entry.path(), found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}
