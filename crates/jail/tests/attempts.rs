//! What somebody would try who has taken a sealed process over is stopped, and by two layers where it would reach
//! something outside. The example prints the table; as it makes the attempts in other processes, it is a program.

use std::process::Command;

#[test]
fn every_attempt_is_stopped() {
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().unwrap().with_file_name("examples").join("attempts");
    assert!(example.exists(), "cargo build -p gofer-jail --example attempts");
    let output = Command::new(example).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}{}", String::from_utf8_lossy(&output.stderr));
    println!("{table}");
}
