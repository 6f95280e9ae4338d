//! How a mount begins and ends.

use std::fs::{self, File};
use std::io::Read;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use gofer_fuse::{Cache, Error, Options, mount};

use crate::mortal::{Life, Mortal};
use crate::{Place, local, place};

#[test]
fn a_mount_point_is_an_empty_directory() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("at");
    let refused = || mount(local(dir.path()), &at, &Options::default()).err().unwrap();
    assert!(matches!(refused(), Error::Missing(..)));
    fs::write(&at, "").unwrap();
    assert!(matches!(refused(), Error::NotDirectory(_)));
    fs::remove_file(&at).unwrap();
    fs::create_dir_all(at.join("sub")).unwrap();
    assert!(matches!(refused(), Error::NotEmpty(_)));
    let Some(place) = place(local, &Options::default()) else { return };
    let twice = mount(local(dir.path()), &place.at, &Options::default()).err().unwrap();
    assert!(matches!(twice, Error::Busy(_)), "{twice}");
}

#[test]
fn a_file_does_not_end_where_it_cannot_be_read() {
    let (life, options) = (Life::default(), Options { passthrough: false, ..Options::default() });
    let Some(place) = place(|host| Mortal { backend: local(host), life: life.clone() }, &options) else {
        return;
    };
    let content: Vec<u8> = (1..=250).cycle().take(100_000).collect();
    fs::write(place.host.join("f"), &content).unwrap();
    life.limit_reads(50_000);
    let mut bytes = Vec::new();
    let read = File::open(place.path("f")).unwrap().read_to_end(&mut bytes);
    assert_eq!(read.err().and_then(|error| error.raw_os_error()), Some(5), "{} bytes", bytes.len());
    assert!(content.starts_with(&bytes));
    life.limit_reads(0);
    assert!(fs::read(place.path("f")).unwrap() == content, "it is as long as it was");
}

#[test]
fn a_mount_in_use_goes_on_until_its_last_file_is_closed() {
    let Some(place) = place(local, &Options { passthrough: false, ..Options::default() }) else { return };
    fs::write(place.path("f"), "content").unwrap();
    let mut file = File::open(place.path("f")).unwrap();
    assert!(place.mounted.unmount().unwrap(), "in use");
    assert!(!place.path("f").exists(), "it has left the tree");
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    drop(file);
    place.mounted.wait();
    assert!(!place.mounted.unmount().unwrap(), "there is nothing left to unmount");
}

#[test]
fn a_mount_that_somebody_else_unmounts_ends() {
    let Some(place) = place(local, &Options::default()) else { return };
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            place.mounted.wait();
            sender.send(()).unwrap();
        });
        let umount = std::process::Command::new("umount").arg(&place.at).status().unwrap();
        if !umount.success() {
            // An ordinary user cannot; the end is the same.
            place.mounted.unmount().unwrap();
        }
        ended.recv_timeout(Duration::from_secs(30)).unwrap();
    });
}

/// A backend whose server is gone answers what only a connection can say. Programs get `EIO`, nothing hangs, and it
/// can be unmounted.
#[test]
fn a_dead_backend_is_an_error_and_can_be_unmounted() {
    let life = Life::default();
    let options = Options { passthrough: false, ..Options::default() };
    let Some(place) = place(|host| Mortal { backend: local(host), life: life.clone() }, &options) else {
        return;
    };
    fs::write(place.path("f"), "x").unwrap();
    let file = File::open(place.path("f")).unwrap();
    life.end();
    let io = Some(rustix::io::Errno::IO.raw_os_error());
    assert_eq!((&file).read(&mut [0; 8]).unwrap_err().raw_os_error(), io);
    assert_eq!(fs::metadata(place.path("new")).unwrap_err().raw_os_error(), io);
    assert_eq!(fs::create_dir(place.path("d")).unwrap_err().raw_os_error(), io);
    drop(file);
    place.mounted.unmount().unwrap();
    place.mounted.wait();
}

/// How many descriptors of what is below a mount this process has. Other tests have their own.
fn held(place: &Place) -> usize {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|target| target.starts_with(&place.host)).count()
}

/// Every inode the kernel knows is a descriptor of this process; a lookup that is never forgotten is one that stays.
#[test]
fn what_the_kernel_forgets_is_closed() {
    let Some(place) = place(local, &Options::default()) else { return };
    let before = held(&place);
    for n in 0..200 {
        fs::write(place.path(&format!("f{n}")), "").unwrap();
    }
    let listed: Vec<_> =
        fs::read_dir(&place.at).unwrap().map(|entry| entry.unwrap().metadata().unwrap()).collect();
    assert_eq!(listed.len(), 200);
    assert!(held(&place) >= before + 200);
    for n in 0..200 {
        fs::remove_file(place.path(&format!("f{n}"))).unwrap();
    }
    // The kernel tells it when it comes to it.
    let until = Instant::now() + Duration::from_secs(30);
    while held(&place) > before && Instant::now() < until {
        thread::yield_now();
    }
    assert_eq!(held(&place), before);
}

/// Without a bound, looking at more files than the process may have descriptors ends in `EMFILE` for everybody.
#[test]
fn the_kernel_is_made_to_forget_what_is_too_much() {
    let Some(place) = place(local, &Options { known: 100, cache: Cache::Exclusive, ..Options::default() })
    else {
        return;
    };
    for n in 0..1000 {
        fs::write(place.host.join(format!("f{n}")), "").unwrap();
    }
    // By the name that a file has now: under its first one it would never be forgotten.
    for n in 0..1000 {
        fs::rename(place.path(&format!("f{n}")), place.path(&format!("new{n}"))).unwrap();
    }
    let kept = File::open(place.path("new0")).unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    let mut most = usize::MAX;
    // It is a matter of when the kernel comes to it; each look is an occasion.
    while most > 500 && Instant::now() < until {
        for n in 0..1000 {
            fs::metadata(place.path(&format!("new{n}"))).unwrap();
        }
        most = held(&place);
    }
    assert!(most <= 500, "{most}");
    assert_eq!(kept.metadata().unwrap().len(), 0);
}
