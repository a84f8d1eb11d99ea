//! Watches what each end says on a leg, and knows its rules independently: a second, smaller reading of the frames.

/// Salt and MAC of who speaks first; the other one begins with its salt alone.
const KNOCK: usize = 48;
const SALT: usize = 32;
/// Type and length of a frame.
const HEADER: usize = 4;

/// Both ends of a leg, by what they say.
#[derive(Debug)]
pub(crate) struct Watch([End; 2]);

#[derive(Debug)]
struct End {
    inbound: Vec<u8>,
    /// What comes before the frames.
    skip: usize,
    greeted: bool,
    /// What it has said that it has taken, and how far the other one may send.
    got: u64,
    limit: u64,
    /// Where its next data begin.
    next: Option<u64>,
    /// It has said its last word.
    gone: bool,
}

impl Watch {
    /// `first`: which side speaks first.
    pub(crate) fn new(first: usize) -> Self {
        let end = |side: usize| End {
            inbound: Vec::new(),
            skip: if side == first { KNOCK } else { SALT },
            greeted: false,
            got: 0,
            limit: 0,
            next: None,
            gone: false,
        };
        Self([end(0), end(1)])
    }

    /// A side says this. How many bytes it says that it has taken by it.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(crate) fn said(&mut self, side: usize, bytes: &[u8]) -> Result<u64, String> {
        let [one, two] = &mut self.0;
        let (end, other) = match side {
            0 => (one, two),
            _ => (two, one),
        };
        end.inbound.extend_from_slice(bytes);
        if end.inbound.len() < end.skip {
            return Ok(0);
        }
        let skipped = end.inbound.split_off(end.skip);
        end.inbound = skipped;
        end.skip = 0;
        let mut taken = 0;
        while let Some(frame) = end.cut() {
            taken += end.judge(frame[0], &frame[HEADER..], other)?;
        }
        Ok(taken)
    }
}

impl End {
    /// The next frame, once it is whole.
    fn cut(&mut self) -> Option<Vec<u8>> {
        let length = self.inbound.get(1..HEADER)?;
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if self.inbound.len() < HEADER + length {
            return None;
        }
        let rest = self.inbound.split_off(HEADER + length);
        Some(std::mem::replace(&mut self.inbound, rest))
    }

    fn judge(&mut self, kind: u8, content: &[u8], other: &Self) -> Result<u64, String> {
        let number = |at: usize| {
            let bytes = content
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok());
            bytes
                .map(u64::from_be_bytes)
                .ok_or("a frame that is too short")
        };
        if self.greeted == (kind == 0) {
            return Err("a HELLO that is not the first frame, or none".to_owned());
        }
        match kind {
            0 => {
                self.greeted = true;
                (self.got, self.limit) = (number(1)?, number(9)?);
                Ok(0)
            }
            2 => {
                let (offset, len) = (number(0)?, content.len() as u64 - 8);
                if self.gone {
                    return Err("data after a goodbye".to_owned());
                }
                if self.next.is_some_and(|next| next != offset) {
                    return Err(format!("data at {offset} where {:?} is next", self.next));
                }
                if offset + len > other.limit {
                    let limit = other.limit;
                    return Err(format!(
                        "data up to {} where {limit} is the limit",
                        offset + len
                    ));
                }
                self.next = Some(offset + len);
                Ok(0)
            }
            3 => {
                let (got, limit) = (number(0)?, number(8)?);
                if got < self.got || limit < self.limit {
                    return Err(format!(
                        "{got} and {limit} after {} and {}",
                        self.got, self.limit
                    ));
                }
                let taken = got - self.got;
                (self.got, self.limit) = (got, limit);
                Ok(taken)
            }
            6 => {
                self.gone = true;
                Ok(0)
            }
            1 | 4 | 5 => Ok(0),
            other => Err(format!("a frame of type {other}")),
        }
    }
}
