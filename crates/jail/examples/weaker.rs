//! What becomes of a process where the kernel has less than all of Landlock: `weaker full|landlock|auto ABI rw|ro`, with
//! the newest version of its interface that is used. Says what is missing, or why it is refused, with exit code 3.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::process::ExitCode;

use gofer_jail::{Abi, Plan, Strength, Tasks, Tree, Users, Violation};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [strength, abi, rights] = &words[..] else { panic!("weaker STRENGTH ABI rw|ro") };
    let strength = match strength.as_str() {
        "full" => Strength::Full,
        "landlock" => Strength::Landlock,
        _ => Strength::Auto,
    };
    let path = std::env::temp_dir();
    let place = gofer_sys::walk::open_root(&path).unwrap();
    let plan = Plan {
        trees: vec![Tree { path, place, writable: rights == "rw", devices: false }],
        tasks: Tasks::default(),
        users: Users::All,
        violation: Violation::Kill,
        landlock: Abi(abi.parse().unwrap()),
        at_end: Box::new(|_| {}),
    };
    match plan.enter(strength) {
        Ok((_sealed, report)) => {
            println!("landlock {:?}", report.landlock.map(|(abi, _)| abi));
            report.weaker.iter().for_each(|why| println!("weaker: {why}"));
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("refused: {why}");
            ExitCode::from(3)
        }
    }
}
