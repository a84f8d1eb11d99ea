//! One In-Band Bytestream chunk in both directions, compared with the bare base64 crate on the same bytes.

use base64::Engine as _;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;
use bytes::Bytes;
use xtls_stanza::{Content, Envelope, Payload};

/// A chunk in all its forms.
pub struct Chunk {
    frame: Bytes,
    envelope: Envelope,
    payload: Bytes,
    text: Vec<u8>,
    wire: Vec<u8>,
    bytes: Vec<u8>,
    engine: Simd,
}

impl Chunk {
    /// A chunk of `block` bytes.
    pub fn new(block: usize) -> Self {
        let frame = crate::strict::frames(&crate::ibb(block, 1)).remove(0);
        let envelope = Envelope::read(&frame).expect("a good stanza");
        let payload = payload(&envelope).clone();
        let engine = Simd::standard(PAD);
        let text = engine.encode(&payload).into_bytes();
        Self {
            wire: Vec::with_capacity(2 * frame.len()),
            bytes: vec![0; text.len()],
            frame,
            envelope,
            payload,
            text,
            engine,
        }
    }

    /// From the text of the stanza to the payload; returns the payload's length.
    pub fn read(&self) -> usize {
        payload(&Envelope::read(&self.frame).expect("a good stanza")).len()
    }

    /// From the payload to the text of the stanza, into an existing buffer.
    pub fn write(&mut self) -> usize {
        self.wire.clear();
        self.envelope.write(&mut self.wire);
        self.wire.len()
    }

    /// The base64 alone, into an existing buffer.
    pub fn bare_decode(&mut self) -> usize {
        let decoded = self.engine.decode_slice(&self.text, &mut self.bytes);
        decoded.expect("good base64")
    }

    /// The base64 alone, into an existing buffer.
    pub fn bare_encode(&mut self) -> usize {
        let encoded = self.engine.encode_slice(&self.payload, &mut self.bytes);
        encoded.expect("enough room")
    }
}

fn payload(envelope: &Envelope) -> &Bytes {
    match &envelope.content {
        Content::Set(Payload::Data(data)) => &data.bytes,
        _ => panic!("not a chunk"),
    }
}
