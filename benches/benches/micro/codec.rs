//! The cost of a call's bytes: values, envelopes, frames and their tags.

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use lattice_benches::native::{Reading, readings};
use lattice_core::{
    auth::{Auth, LatticeKey, Purpose},
    call::CallError,
    name::{ComponentId, HostId, LatticeName, LinkName},
    store::{Incarnation, Revision},
    value::{from_bytes, to_bytes},
    wire::{
        CallEnvelope, Frame, FrameWriter, FunctionKey, Kind, Lane, Origin, ReplyEnvelope, Source,
    },
};
use ring::{aead, hmac};
use std::{hint::black_box, time::Duration};

criterion_group! {
    name = codec;
    config = Criterion::default()
        .sample_size(20)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = values, envelopes, frames, tags
}

fn values(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/value");
    let all = readings(16);
    let encoded = to_bytes(&(&all,)).expect("readings encode");
    group.throughput(Throughput::Bytes(encoded.len() as u64));
    group.bench_function("16 records, to bytes", |bencher| {
        bencher.iter(|| to_bytes(black_box(&(&all,))))
    });
    group.bench_function("16 records, from bytes", |bencher| {
        bencher
            .iter(|| from_bytes::<(Vec<Reading>,)>(black_box(&encoded)).expect("it was encoded"));
    });
    let body = Bytes::from(vec![7; 64 << 10]);
    let encoded = to_bytes(&(&body,)).expect("bytes encode");
    group.throughput(Throughput::Bytes(encoded.len() as u64));
    group.bench_function("64 KiB, to bytes", |bencher| {
        bencher.iter(|| to_bytes(black_box(&(&body,))))
    });
    group.bench_function("64 KiB, from bytes", |bencher| {
        bencher.iter(|| from_bytes::<(Bytes,)>(black_box(&encoded)).expect("it was encoded"));
    });
    group.finish();
}

fn envelopes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/envelope");
    for size in [16, 1 << 10] {
        let call = call(size);
        let reply = ReplyEnvelope {
            id: 7,
            session: None,
            has_handles: false,
            outcome: Ok(call.args.clone()),
        };
        let (mut call_bytes, mut reply_bytes) = (BytesMut::new(), BytesMut::new());
        call.encode_into(&mut call_bytes);
        reply.encode_into(&mut reply_bytes);
        let (call_bytes, reply_bytes) = (call_bytes.freeze(), reply_bytes.freeze());
        let mut buf = BytesMut::with_capacity(2 * size + 1_024);
        group.bench_function(format!("call of {size} B, encode"), |bencher| {
            bencher.iter(|| {
                buf.clear();
                call.encode_into(black_box(&mut buf));
            });
        });
        group.bench_function(format!("call of {size} B, decode"), |bencher| {
            bencher.iter(|| {
                CallEnvelope::decode(black_box(call_bytes.clone())).expect("it was encoded")
            });
        });
        group.bench_function(format!("reply of {size} B, encode"), |bencher| {
            bencher.iter(|| {
                buf.clear();
                reply.encode_into(black_box(&mut buf));
            });
        });
        group.bench_function(format!("reply of {size} B, decode"), |bencher| {
            bencher.iter(|| {
                ReplyEnvelope::decode(black_box(reply_bytes.clone())).expect("it was encoded")
            });
        });
    }
    let refusal = CallError::Overloaded {
        component: ComponentId::new("callee").expect("an id"),
    };
    let refusal = ReplyEnvelope {
        id: 7,
        session: None,
        has_handles: false,
        outcome: Err(refusal),
    };
    let mut buf = BytesMut::with_capacity(1_024);
    group.bench_function("refusal, encode", |bencher| {
        bencher.iter(|| {
            buf.clear();
            refusal.encode_into(black_box(&mut buf));
        });
    });
    group.finish();
}

/// Writes and seals a frame, then opens and reads it.
fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/frame");
    let auth = keyed();
    for (count, size) in [(1, 16), (64, 16), (16, 1 << 10), (1, 64 << 10)] {
        let call = call(size);
        group.throughput(Throughput::Elements(count));
        group.bench_function(
            format!("{count} calls of {size} B, write and seal"),
            |bencher| {
                bencher.iter(|| sealed(&auth, &call, count));
            },
        );
        let message = sealed(&auth, &call, count);
        group.bench_function(
            format!("{count} calls of {size} B, open and read"),
            |bencher| {
                bencher.iter_batched(
                    || message.clone(),
                    |message| {
                        let frame = Frame::open(&auth, message).expect("it was sealed");
                        for envelope in frame.envelopes() {
                            black_box(CallEnvelope::decode(envelope).expect("it was encoded"));
                        }
                    },
                    BatchSize::SmallInput,
                );
            },
        );
    }
    group.finish();
}

/// The tag of a frame, and what other codes take for the same bytes. GMAC and Poly1305 are AES-GCM
/// and ChaCha20-Poly1305 that encrypt nothing.
fn tags(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec/tag");
    let auth = keyed();
    let sha256 = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
    let gmac = aead_key(&aead::AES_128_GCM);
    let poly1305 = aead_key(&aead::CHACHA20_POLY1305);
    for size in [128, 1 << 10, 4 << 10, 16 << 10, 64 << 10] {
        let bytes = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("BLAKE3, {size} B"), |bencher| {
            bencher.iter(|| auth.tag(Purpose::Frame, &[black_box(&bytes)]));
        });
        group.bench_function(format!("HMAC-SHA256, {size} B"), |bencher| {
            bencher.iter(|| hmac::sign(&sha256, black_box(&bytes)));
        });
        for (name, key) in [("GMAC", &gmac), ("Poly1305", &poly1305)] {
            group.bench_function(format!("{name}, {size} B"), |bencher| {
                bencher.iter(|| {
                    let nonce = aead::Nonce::assume_unique_for_key([7; aead::NONCE_LEN]);
                    let data = aead::Aad::from(black_box(&bytes));
                    key.seal_in_place_separate_tag(nonce, data, &mut [])
                });
            });
        }
    }
    group.finish();
}

fn aead_key(algorithm: &'static aead::Algorithm) -> aead::LessSafeKey {
    let key = vec![7; algorithm.key_len()];
    aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, &key).expect("a key"))
}

fn sealed(auth: &Auth, call: &CallEnvelope, count: u64) -> Bytes {
    let origin = |name| Origin::new(HostId::new(name).expect("an id"), 1);
    let mut writer = FrameWriter::new(
        origin("here"),
        Some(origin("there")),
        Kind::Call,
        Lane::Small,
    );
    for _ in 0..count {
        writer
            .push(|buf| call.encode_into(buf))
            .expect("there is room");
    }
    writer.seal(auth, 1)
}

fn call(size: usize) -> CallEnvelope {
    CallEnvelope {
        id: 7,
        function: FunctionKey(0x1234_5678_9abc_def0),
        deadline_left: Duration::from_secs(2),
        source: Source::Component(ComponentId::new("front-desk").expect("an id")),
        target: ComponentId::new("greeter").expect("an id"),
        link: LinkName::default(),
        incarnation: Incarnation(1),
        link_revision: Revision(300),
        fence: 0,
        hops: 1,
        attempt: 0,
        idempotent: false,
        trace: None,
        instance: None,
        session: None,
        marks: Vec::new(),
        has_handles: false,
        args: Bytes::from(vec![7; size]),
    }
}

fn keyed() -> Auth {
    Auth::keyed(
        &LatticeName::new("bench").expect("a name"),
        &LatticeKey::generate(),
    )
}
