//! Every RPC with everything that can be wrong with its request: each violation is told, nothing is stored, nothing
//! breaks.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use it::{
    app::App,
    contract::{Rpc, is_required, is_well_known, missing_from_empty, missing_from_hollow, rpcs},
    furniture::Furniture,
    malformed::{Mistake, mistakes},
    raw::{self, Refusal},
    samples::{self, Sample},
    stored,
    suite::Shape,
};
use prost::Message;
use prost_reflect::{Cardinality, DynamicMessage, Kind, MessageDescriptor, Value};
use serde_json::json;
use tonic::{Code, Status};

use crate::not_yet_served::NOT_YET_SERVED;

in_both_shapes!(
    what_is_missing_is_told,
    every_mistake_is_refused,
    mistakes_are_told_together,
    garbage_is_refused,
    flipped_bits_break_nothing
);

fn served() -> impl Iterator<Item = &'static Rpc> {
    rpcs().iter().filter(|rpc| !NOT_YET_SERVED.contains(rpc.name.as_str()))
}

/// A message whose required messages are there, and empty.
fn hollow(message: &MessageDescriptor) -> DynamicMessage {
    let mut made = DynamicMessage::new(message.clone());
    for field in message.fields().filter(is_required) {
        if let Kind::Message(inner) = field.kind()
            && !is_well_known(&inner)
            && field.cardinality() != Cardinality::Repeated
        {
            made.set_field(&field, Value::Message(hollow(&inner)));
        }
    }
    made
}

/// Whether the refusal is INVALID_ARGUMENT and names each path; gives what is wrong.
fn names_all(status: &Status, paths: &[String]) -> Result<(), String> {
    raw::lawful_and_named(status)?;
    if status.code() != Code::InvalidArgument {
        return Err(format!("{:?}: {}", status.code(), status.message()));
    }
    let refusal = Refusal::of(status);
    match paths.iter().filter(|path| !refusal.names(path)).collect::<Vec<_>>() {
        missed if missed.is_empty() => Ok(()),
        missed => Err(format!("does not name {missed:?}, only {:?}", refusal.fields)),
    }
}

async fn what_is_missing_is_told(shape: Shape) {
    let app = App::new(shape, "missing");
    let mut wrong = Vec::new();
    for rpc in served() {
        let cases = [
            ("empty", DynamicMessage::new(rpc.input()), missing_from_empty(&rpc.input())),
            ("hollow", hollow(&rpc.input()), missing_from_hollow(&rpc.input())),
        ];
        for (what, message, mut paths) in cases.into_iter().filter(|(_, _, paths)| !paths.is_empty()) {
            if rpc.method.name().starts_with("Update") {
                // "`segment_id` or `name` says which": either is named.
                paths.iter_mut().for_each(|path| path.truncate(path.find('.').unwrap_or(path.len())));
            }
            // A record of a stream is refused by a verdict; its fields may be told within the record.
            match raw::call(&app, rpc, &message).await {
                Ok(_) => wrong.push(format!("{}: {what}: answered", rpc.name)),
                Err(status) => {
                    wrong.extend(names_all(&status, &paths).err().map(|w| format!("{}: {what}: {w}", rpc.name)));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let stored = stored::rows(app.suite, &app.tenant).await.expect("rows");
    assert!(stored.is_empty(), "something was stored: {stored:?}");
}

/// Mistakes that have a meaning where they are made, or that cannot be told beside others.
fn is_apart(rpc: &str, mistake: &Mistake) -> bool {
    let field = mistake.field();
    match rpc.rsplit('/').next().unwrap_or_default() {
        // "Their `request_id` is ignored."
        "DecideBatch" => field == "requests.request_id",
        // Returned as it came, and kept nowhere.
        "IdentifyStream" | "RecordInteractions" => field == "correlation",
        _ => false,
    }
}

struct Case {
    sample: &'static Sample,
    rpc: &'static Rpc,
    mistake: Mistake,
}

fn cases() -> Vec<Case> {
    let samples = samples::all().iter().filter(|sample| !NOT_YET_SERVED.contains(sample.rpc));
    samples
        .flat_map(|sample| {
            let rpc = Rpc::named(sample.rpc);
            mistakes(&rpc.input()).into_iter().map(move |mistake| Case { sample, rpc, mistake })
        })
        .collect()
}

/// Stores nothing, and lets every field that is set count.
fn open_to_mistakes(rpc: &Rpc) -> serde_json::Value {
    let mut fields = json!({});
    if rpc.takes("validate_only") {
        fields["validate_only"] = json!(true);
    }
    if rpc.takes("update_mask") {
        fields["update_mask"] = json!(null);
    }
    fields
}

async fn every_mistake_is_refused(shape: Shape) {
    let app = App::new(shape, "mistakes");
    let furniture = Furniture::make(&app, "m").await.expect("furniture");
    let cases = cases();
    println!("{shape:?}: {} mistakes", cases.len());
    let mut wrong: Vec<String> = stream::iter(&cases)
        .map(|case| {
            let (app, furniture) = (&app, &furniture);
            async move {
                let mut message = case.sample.request_with(furniture, &open_to_mistakes(case.rpc));
                case.mistake.make(&mut message);
                let found = match raw::call(app, case.rpc, &message).await {
                    Ok(_) if !case.mistake.must_refuse || is_apart(&case.rpc.name, &case.mistake) => None,
                    Ok(_) => Some("answered".to_owned()),
                    Err(status) => raw::lawful_and_named(&status).err(),
                };
                found
                    .map(|found| format!("{}: {}: {}: {found}", case.rpc.name, case.mistake.field(), case.mistake.what))
            }
        })
        .buffer_unordered(16)
        .filter_map(|wrong| async move { wrong })
        .collect()
        .await;
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(!app.suite.logged().contains("panicked at"), "a panic in a log");
}

async fn mistakes_are_told_together(shape: Shape) {
    let app = App::new(shape, "together");
    let furniture = Furniture::make(&App::new(shape, "elsewhere"), "t").await.expect("furniture");
    let before = stored::rows(app.suite, &app.tenant).await.expect("rows");
    let mut wrong = Vec::new();
    for sample in samples::all().iter().filter(|sample| !NOT_YET_SERVED.contains(sample.rpc)) {
        let rpc = Rpc::named(sample.rpc);
        // One mistake for each field that is refused for it alone.
        let mut told = BTreeSet::new();
        let fields = open_to_mistakes(rpc);
        let mut together = sample.request_with(&furniture, &fields);
        for mistake in mistakes(&rpc.input()).into_iter().filter(|mistake| mistake.must_refuse) {
            // Fields of one choice exclude each other.
            let chosen = mistake.path.iter().any(|field| field.containing_oneof().is_some());
            // Without a mask every field that is set counts; and a page token belongs to the other fields of its
            // request: while they are wrong, nothing can be said of it.
            let alone = mistake.field() == "update_mask" || mistake.field() == "page_token";
            if told.contains(&mistake.field()) || chosen || alone || is_apart(&rpc.name, &mistake) {
                continue;
            }
            let mut alone = sample.request_with(&furniture, &fields);
            mistake.make(&mut alone);
            if let Err(status) = raw::call(&app, rpc, &alone).await
                && Refusal::of(&status).reason == "INVALID_FIELDS"
                && Refusal::of(&status).names(&indexed(&mistake))
            {
                mistake.make(&mut together);
                told.insert(mistake.field());
                wrong.extend(raw::lawful(&status).err().map(|w| format!("{}: {}: {w}", rpc.name, mistake.field())));
            }
        }
        let paths: Vec<String> = told.into_iter().collect();
        match raw::call(&app, rpc, &together).await {
            _ if paths.len() < 2 => {}
            Ok(_) => wrong.push(format!("{}: answered with {paths:?} wrong", rpc.name)),
            Err(status) => {
                let refusal = Refusal::of(&status);
                let fields: Vec<String> = refusal.fields.iter().map(|field| without_indexes(field)).collect();
                let named = |path: &String| fields.iter().any(|f| f == path || f.starts_with(&format!("{path}.")));
                let missed: Vec<&String> = paths.iter().filter(|path| !named(path)).collect();
                if !missed.is_empty() {
                    wrong.push(format!("{}: told {fields:?}, not {missed:?}", rpc.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(stored::rows(app.suite, &app.tenant).await.expect("rows"), before, "something was stored");
}

/// The path with the index of the first item of each list, as violations name it.
fn indexed(mistake: &Mistake) -> String {
    let mut path = String::new();
    for field in &mistake.path {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(field.name());
        if field.is_list() {
            path.push_str("[0]");
        }
    }
    path
}

fn without_indexes(field: &str) -> String {
    let mut path = String::new();
    let mut inside = false;
    for c in field.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => path.push(c),
            _ => {}
        }
    }
    path
}

async fn garbage_is_refused(shape: Shape) {
    let app = App::new(shape, "garbage");
    let mut wrong = Vec::new();
    let all: [(&str, Vec<u8>); 4] = [
        ("an open group", vec![0x0B; 40]),
        ("a length beyond the end", vec![0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1, 2, 3]),
        ("no UTF-8", [&[0x0A, 0x04][..], &[0xFF, 0xFE, 0xFD, 0xFC]].concat()),
        ("five megabytes", [&[0x0A, 0x80, 0x80, 0xC0, 0x02][..], &vec![b'x'; 5 << 20]].concat()),
    ];
    for rpc in rpcs() {
        for (what, bytes) in &all {
            if let Err(status) = raw::call_bytes(&app, rpc, bytes.clone()).await
                && let Err(found) = raw::lawful(&status)
            {
                wrong.push(format!("{}: {what}: {found}", rpc.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let stored = stored::rows(app.suite, &app.tenant).await.expect("rows");
    assert!(stored.is_empty(), "something was stored: {stored:?}");
}

/// Valid requests with a few bytes changed: most can still be read, and mean something else.
async fn flipped_bits_break_nothing(shape: Shape) {
    const EACH: u64 = 200;
    let app = App::new(shape, "flipped");
    let furniture = Furniture::make(&app, "f").await.expect("furniture");
    let samples = samples::all().iter().filter(|sample| !NOT_YET_SERVED.contains(sample.rpc));
    let requests: Vec<(&Rpc, Vec<u8>)> = samples
        // Each stream that is accepted takes its time to be quiet.
        .filter(|sample| !sample.rpc.contains("/Watch"))
        .map(|sample| (Rpc::named(sample.rpc), sample.request(&furniture).encode_to_vec()))
        .collect();
    let cases = requests.iter().flat_map(|request| (0..EACH).map(move |seed| (request, seed)));
    let wrong: Vec<String> = stream::iter(cases)
        .map(|((rpc, bytes), seed)| {
            let app = &app;
            async move {
                let changed = flipped(bytes, seed);
                let status = raw::call_bytes(app, rpc, changed).await.err()?;
                raw::lawful(&status).err().map(|found| format!("{}: seed {seed}: {found}", rpc.name))
            }
        })
        .buffer_unordered(16)
        .filter_map(|wrong| async move { wrong })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!app.suite.logged().contains("panicked at"), "a panic in a log");
}

/// One to four bytes changed, by a xorshift generator (Marsaglia 2003).
fn flipped(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or_default()
    };
    let mut bytes = bytes.to_vec();
    for _ in 0..=next() % 4 {
        let at = next() % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << (next() % 8);
        }
    }
    bytes
}
