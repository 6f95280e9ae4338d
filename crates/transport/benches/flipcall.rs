//! Exchanges between two processes: a channel that stays awake for answers, one that sleeps, and a socket, on
//! one processor, on two, and when others use them too.
//!
//! `cargo bench -p gofer-transport --bench flipcall` runs everything in turns and prints medians. It needs
//! `taskset` and two processors. Only the ratios within one run mean anything.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, hint, io, thread};

use gofer_sys::shm::{self, Window};
use gofer_transport::flipcall::{Announced, Caller, Channel, Offer, Payload, Waiting};
use gofer_transport::{ReadInto, Socket, Stream};
use gofer_vfs::{Sink, Source};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long each measurement takes.
const SPAN: Duration = Duration::from_millis(300);
/// How many measurements a median is of.
const ROUNDS: usize = 7;
/// The datagrams of the protocol that this is for: a large read and its header.
const LARGE: usize = 1 << 20;
const CAPACITY: u64 = LARGE as u64 + 4;
/// Which requests there are.
const NOTHING: u8 = 0;
const READ: u8 = 1;
const DONE: u8 = 2;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["server", mode, request, think] => server(mode, request, think),
        ["client", mode, request, think] => {
            client(mode, parse(request)?, Duration::from_micros(parse(think)?))
        }
        _ => all(),
    }
}

fn parse<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| format!("{text} is no number").into())
}

/// One thing to measure: on which processors, what is asked for, how many microseconds the client thinks in
/// between, and how many others keep processors busy meanwhile.
struct Case {
    name: &'static str,
    cpus: &'static str,
    request: u8,
    think: u64,
    others: usize,
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    Case { name: "null, two processors", cpus: "0,1", request: NOTHING, think: 0, others: 0 },
    Case { name: "null, one processor", cpus: "0", request: NOTHING, think: 0, others: 0 },
    Case { name: "null, two, one is busy", cpus: "0,1", request: NOTHING, think: 0, others: 1 },
    Case { name: "null, two, both busy", cpus: "0,1", request: NOTHING, think: 0, others: 2 },
    Case { name: "null, two, 5 us apart", cpus: "0,1", request: NOTHING, think: 5, others: 0 },
    Case { name: "null, two, 50 us apart", cpus: "0,1", request: NOTHING, think: 50, others: 0 },
    Case { name: "null, two, 1 ms apart", cpus: "0,1", request: NOTHING, think: 1000, others: 0 },
    Case { name: "read 1 MiB, two", cpus: "0,1", request: READ, think: 0, others: 0 },
    Case { name: "read 1 MiB, one", cpus: "0", request: READ, think: 0, others: 0 },
];

const MODES: [&str; 3] = ["adaptive", "sleep", "socket"];

/// Measures every case in every mode, in turns.
fn all() -> Result<()> {
    println!(
        "{:<24} {:>11} {:>11} {:>11}   {:>14} {:>14}",
        "exchanges per second", "adaptive", "sleep", "socket", "adaptive/sleep", "sleep/socket"
    );
    for case in CASES {
        let busy = AtomicBool::new(true);
        let (rates, costs) = thread::scope(|scope| {
            for _ in 0..case.others {
                scope.spawn(|| {
                    while busy.load(Ordering::Relaxed) {
                        hint::spin_loop();
                    }
                });
            }
            let measured = in_turns(case);
            busy.store(false, Ordering::Relaxed);
            measured
        })?;
        let [adaptive, sleep, socket] = rates;
        println!(
            "{:<24} {adaptive:>11.0} {sleep:>11.0} {socket:>11.0}   {:>14.2} {:>14.2}",
            case.name,
            adaptive / sleep,
            sleep / socket
        );
        let [adaptive, sleep, socket] = costs;
        println!("{:<24} {adaptive:>11.2} {sleep:>11.2} {socket:>11.2}", "  server's us each");
    }
    let private = vec![1; LARGE];
    let copied = copying(|into| {
        into.copy_from_slice(hint::black_box(&private));
        Ok(())
    })?;
    let file = shm::create("bench", LARGE as u64)?;
    let window = Window::map(file.as_fd(), 0, LARGE as u64)?;
    window.copy_in(0, &private)?;
    let copied_out = copying(|into| Ok(window.copy_out(0, into)?))?;
    println!("copying 1 MiB: {copied:.1} GB/s, out of a window {copied_out:.1} GB/s");
    Ok(())
}

/// The medians of exchanges per second, and of the server's microseconds of processor for each.
fn in_turns(case: &Case) -> Result<([f64; 3], [f64; 3])> {
    let mut rates = [const { Vec::new() }; 3];
    let mut costs = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((mode, rates), costs) in MODES.iter().zip(&mut rates).zip(&mut costs) {
            let (request, think) = (case.request.to_string(), case.think.to_string());
            let mut server = Command::new("taskset");
            server.args(["-c", case.cpus]).arg(env::current_exe()?).args(["server", mode, &request, &think]);
            let output = server.stderr(Stdio::inherit()).output()?;
            let text = String::from_utf8(output.stdout)?;
            let (rate, cost) = text.trim().split_once(' ').ok_or("the server said nothing")?;
            rates.push(parse(rate)?);
            costs.push(parse(cost)?);
        }
    }
    Ok((rates.map(median), costs.map(median)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How many gigabytes a second this machine copies, a megabyte again and again.
fn copying(mut copy: impl FnMut(&mut [u8]) -> Result<()>) -> Result<f64> {
    let (start, mut n, mut into) = (Instant::now(), 0u32, vec![0u8; LARGE]);
    while start.elapsed() < SPAN {
        copy(hint::black_box(&mut into))?;
        n += 1;
    }
    Ok(f64::from(n) * 1e-9 * f64::from(1 << 20) / start.elapsed().as_secs_f64())
}

/// Microseconds that this thread has had of a processor.
fn used() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(parse::<f64>(text.split(' ').next().unwrap_or_default())? / 1e3)
}

/// What some work gives, and the microseconds of processor it took.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let before = used()?;
    let done = work()?;
    Ok((done, used()? - before))
}

/// Serves one client and prints exchanges per second and microseconds of processor for each.
fn server(mode: &str, request: &str, think: &str) -> Result<()> {
    let mut file = tempfile::tempfile()?;
    file.write_all(&vec![7; LARGE])?;
    let start = |input: OwnedFd, output: OwnedFd| {
        Command::new(env::current_exe()?)
            .args(["client", mode, request, think])
            .stdin(input)
            .stdout(output)
            .spawn()
    };
    let (last, cost);
    if mode == "socket" {
        let (ours, theirs) = Socket::pair()?;
        let mut client = start(theirs.into(), io::stderr().as_fd().try_clone_to_owned()?)?;
        (last, cost) = timed(|| serve_socket(&ours, &file))?;
        client.wait()?;
    } else {
        let announced = Announced { at: 1, most: 1 };
        let (mut channel, Offer { file: window, side, .. }) =
            Channel::new(CAPACITY, announced, waiting(mode))?;
        let mut client = start(window, side)?;
        (last, cost) = timed(|| serve_channel(&mut channel, &file))?;
        // Before the channel goes, which could overtake the last reply.
        client.wait()?;
    }
    let text = String::from_utf8(last)?;
    let (count, seconds) = text.split_once(' ').ok_or("the client counted nothing")?;
    let count: f64 = parse(count)?;
    println!("{} {}", count / parse::<f64>(seconds)?, cost / count);
    Ok(())
}

fn waiting(mode: &str) -> Waiting {
    if mode == "sleep" { Waiting::Sleep } else { Waiting::Adaptive }
}

/// Answers until the client is done, and gives what it says then.
fn serve_channel(channel: &mut Channel, file: &File) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        let mut asked = channel.recv(LARGE)?;
        request.clear();
        asked.body().append_to(&mut request, LARGE);
        let mut head = [request[0], 0];
        match request[0] {
            READ => {
                let n = asked.sink(head.len()).pull(file.as_fd(), 0, LARGE)?;
                asked.reply(&mut head, Payload::InPlace(n))?;
            }
            kind => {
                asked.reply(&mut head, Payload::Bytes(&[]))?;
                if kind == DONE {
                    return Ok(request.split_off(2));
                }
            }
        }
    }
}

/// As [`serve_channel`]; a message has its length in front.
fn serve_socket(socket: &Socket, file: &File) -> Result<Vec<u8>> {
    let mut frame = Vec::with_capacity(64);
    let mut bytes = Vec::new();
    loop {
        recv_frame(socket, &mut frame)?;
        bytes.clear();
        if frame[4] == READ {
            ReadInto::new(&mut bytes, LARGE).pull(file.as_fd(), 0, LARGE)?;
        }
        send_frame(socket, &[frame[4], 0], &bytes)?;
        if frame[4] == DONE {
            return Ok(frame.split_off(6));
        }
    }
}

fn send_frame(socket: &Socket, head: &[u8], payload: &[u8]) -> Result<()> {
    let len = u32::try_from(4 + head.len() + payload.len())?;
    let head = [&len.to_le_bytes(), head].concat();
    Ok(socket.send(&head, payload, &[])?)
}

fn recv_frame(socket: &Socket, frame: &mut Vec<u8>) -> Result<()> {
    frame.clear();
    let mut len = 4;
    while frame.len() < len {
        frame.reserve(len - frame.len());
        if socket.recv(frame, usize::MAX)? == 0 {
            return Err("the other end is gone".into());
        }
        if let Some(front) = frame.first_chunk() {
            len = u32::from_le_bytes(*front) as usize;
        }
    }
    Ok(())
}

/// Asks for as long as a measurement takes, then tells the server how often that was and how long it took.
fn client(mode: &str, request: u8, think: Duration) -> Result<()> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    if mode == "socket" {
        let socket = Socket::from_fd(input)?;
        let mut frame = Vec::with_capacity(64);
        return ask(request, think, |head, payload, into| {
            send_frame(&socket, head, payload)?;
            recv_frame(&socket, &mut frame)?;
            into[..frame.len() - 6].copy_from_slice(&frame[6..]);
            Ok(())
        });
    }
    let file = File::from(input);
    let length = file.metadata()?.len();
    let side = io::stdout().as_fd().try_clone_to_owned()?;
    let mut caller = Caller::new(Offer { file: file.into(), offset: 0, length, side }, waiting(mode))?;
    ask(request, think, |head, payload, into| {
        let mut reply = caller.call(head, payload)?;
        reply.body().take(&mut [0; 2]);
        reply.body().take(into);
        Ok(())
    })
}

fn ask(
    request: u8,
    think: Duration,
    mut call: impl FnMut(&[u8], &[u8], &mut [u8]) -> Result<()>,
) -> Result<()> {
    let mut into = vec![0; LARGE];
    call(&[request, 0], &[], &mut into)?;
    let (start, mut count) = (Instant::now(), 0u32);
    let mut now = start;
    while now - start < SPAN {
        // So that the clock is no great part of an exchange.
        for _ in 0..8 {
            call(&[request, 0], &[], &mut into)?;
            let answered = Instant::now();
            while !think.is_zero() && answered.elapsed() < think {
                hint::spin_loop();
            }
        }
        count += 8;
        now = Instant::now();
    }
    let told = format!("{count} {}", (now - start).as_secs_f64());
    call(&[DONE, 0], told.as_bytes(), &mut into)
}
