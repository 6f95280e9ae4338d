//! A client's stream, cut and changed frame by frame: a byte changed anywhere would nearly always be a length that
//! lies, and what comes behind it lost.

use gofer_wire::{lisafs, p9};
use libfuzzer_sys::fuzzer_mutate;

/// What frames are like in a protocol. Each begins with a length of four bytes.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The bytes of a header.
    header: usize,
    /// How many of them the length leaves out.
    uncounted: usize,
    /// The bytes of a number for what a client holds: in most messages the first field, in some the second.
    number: usize,
}

impl Form {
    /// 9P.
    pub const P9: Self = Self { header: p9::HEADER, uncounted: 0, number: 4 };
    /// lisafs.
    pub const LISAFS: Self = Self { header: lisafs::HEADER, uncounted: lisafs::HEADER, number: 8 };

    /// The frames of a stream. A size that cannot be counts as the nearest that can.
    pub fn cut(self, mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let size = bytes.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
            let size = size.saturating_add(self.uncounted).max(self.header);
            let (frame, rest) = bytes.split_at(size.min(bytes.len()));
            frames.push(frame);
            bytes = rest;
        }
        frames
    }

    /// Gives a frame the size that it has.
    pub fn fix(self, frame: &mut [u8]) {
        let size = u32::try_from(frame.len().saturating_sub(self.uncounted)).unwrap_or(u32::MAX);
        if let Some(field) = frame.first_chunk_mut() {
            *field = size.to_le_bytes();
        }
    }
}

/// Numbers that mean something, or nothing at all.
const NUMBERS: [u64; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 100, u64::MAX];

/// Numbers out of one, as many as are asked for.
struct Chance(u64);

impl Chance {
    fn new(seed: u32) -> Self {
        Self(u64::from(seed) << 1 | 1)
    }

    /// A number below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % limit
    }
}

/// Changes an input in place: a byte that says how it is served, then a stream. -> its new length
pub fn mutate(form: Form, data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut chance = Chance::new(seed);
    let action = chance.below(16);
    if size <= 1 + form.header || action == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut frames: Vec<Vec<u8>> = form.cut(&data[1..size]).into_iter().map(<[u8]>::to_vec).collect();
    let at = chance.below(frames.len());
    match action {
        1 => data[0] ^= 1 << chance.below(8),
        2 => frames.insert(chance.below(frames.len() + 1), frames[at].clone()),
        3 if frames.len() > 1 => drop(frames.remove(at)),
        4 => {
            let other = chance.below(frames.len());
            frames.swap(at, other);
        }
        5..=7 if frames[at].len() >= form.header + 2 * form.number => {
            let field = form.header + form.number * chance.below(2);
            let number = NUMBERS[chance.below(NUMBERS.len())].to_le_bytes();
            frames[at][field..field + form.number].copy_from_slice(&number[..form.number]);
        }
        _ => {
            let frame = &mut frames[at];
            let mut body = frame.split_off(form.header.min(frame.len()));
            let len = body.len();
            body.resize(len + 64, 0);
            let len = fuzzer_mutate(&mut body, len, len + 64);
            frame.extend_from_slice(&body[..len]);
            form.fix(frame);
        }
    }
    join(data, &frames, max_size)
}

/// The beginning of one input and the end of another. -> its length
pub fn cross(form: Form, one: &[u8], other: &[u8], into: &mut [u8], seed: u32) -> usize {
    let mut chance = Chance::new(seed);
    let (Some((how, one)), Some((_, other))) = (one.split_first(), other.split_first()) else { return 0 };
    let (one, other) = (form.cut(one), form.cut(other));
    let (begin, end) = (chance.below(one.len() + 1), chance.below(other.len() + 1));
    let Some(first) = into.first_mut() else { return 0 };
    *first = *how;
    let frames: Vec<_> = one[..begin].iter().chain(&other[end..]).map(|frame| frame.to_vec()).collect();
    let room = into.len();
    join(into, &frames, room)
}

/// Puts frames behind the first byte, as many as there is room for.
fn join(data: &mut [u8], frames: &[Vec<u8>], max_size: usize) -> usize {
    let mut len = 1;
    for frame in frames {
        let end = len + frame.len();
        if end > max_size.min(data.len()) {
            break;
        }
        data[len..end].copy_from_slice(frame);
        len = end;
    }
    len
}
