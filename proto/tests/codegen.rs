//! The checked-in code is what the contract generates. After a change of a `.proto` file:
//! `UPDATE_GENERATED=1 cargo test -p rapport-proto --test codegen`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use protox::Compiler;
use protox::prost_reflect::prost_types::FileDescriptorSet;

type Files = BTreeMap<String, Vec<u8>>;

#[test]
fn the_checked_in_code_is_what_the_contract_generates() {
    let expected = generate();
    let dir = root().join("src/gen");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("create src/gen");
        for (name, content) in &expected {
            fs::write(dir.join(name), content).expect("write generated file");
        }
    }
    let actual = read(&dir);
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&actual), names(&expected), "src/gen holds other files than are generated: {HINT}");
    for (name, content) in &expected {
        assert!(actual[name] == *content, "src/gen/{name} differs from what is generated: {HINT}");
    }
}

const HINT: &str = "run `UPDATE_GENERATED=1 cargo test -p rapport-proto --test codegen`";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries
        .map(|entry| entry.expect("read src/gen").path())
        .map(|path| {
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("read generated file"))
        })
        .collect()
}

fn generate() -> Files {
    let (descriptors, set) = compile();
    let out = std::env::temp_dir().join(format!("rapport-proto-{}", std::process::id()));
    fs::create_dir_all(&out).expect("create a temporary folder");
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .bytes(".rapport")
        .include_file("mod.rs")
        .out_dir(&out)
        .emit_rerun_if_changed(false)
        .compile_fds(set)
        .expect("generate code");
    let mut files = read(&out);
    fs::remove_dir_all(&out).expect("remove the temporary folder");
    files.insert("descriptors.bin".into(), descriptors);
    files
}

/// The descriptors for reflection (everything), and those for which code is made.
fn compile() -> (Vec<u8>, FileDescriptorSet) {
    let include = root();
    let mut sources = Vec::new();
    find(&include.join("rapport"), &mut sources);
    sources.sort();
    let mut compiler = Compiler::new([&include]).expect("find proto/");
    compiler.include_source_info(true).include_imports(true);
    compiler.open_files(sources).expect("the contract compiles");
    let mut set = compiler.file_descriptor_set();
    // google.api holds only options, for which there is no code.
    set.file.retain(|file| file.package() != "google.api");
    (compact(&compiler.encode_file_descriptor_set()), set)
}

fn find(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("read proto/") {
        let path = entry.expect("read proto/").path();
        if path.is_dir() {
            find(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
}

/// Drops source locations without a comment: they are most of the bytes, and reflection has no use for them. Works on
/// the encoded form, because decoding into prost-types would lose custom options such as `google.api.http`.
fn compact(set: &[u8]) -> Vec<u8> {
    const FILE: u64 = 1; // FileDescriptorSet.file
    const SOURCE_CODE_INFO: u64 = 9; // FileDescriptorProto.source_code_info
    const LOCATION: u64 = 1; // SourceCodeInfo.location
    const COMMENTS: [u64; 3] = [3, 4, 6]; // SourceCodeInfo.Location.{leading,trailing,leading_detached}_comments
    rewrite(set, |field, file| {
        assert_eq!(field, FILE);
        Some(rewrite(file, |field, info| {
            if field != SOURCE_CODE_INFO {
                return Some(info.to_vec());
            }
            Some(rewrite(info, |field, location| {
                let mut commented = false;
                rewrite(location, |field, content| {
                    commented |= COMMENTS.contains(&field);
                    Some(content.to_vec())
                });
                (field != LOCATION || commented).then(|| location.to_vec())
            }))
        }))
    })
}

/// Copies an encoded message, with every length-delimited field replaced by what `change` makes of it, or dropped.
fn rewrite(mut message: &[u8], mut change: impl FnMut(u64, &[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    use prost::encoding::{decode_varint, encode_varint};
    let mut out = Vec::with_capacity(message.len());
    while !message.is_empty() {
        let key = decode_varint(&mut message).expect("a key");
        let (field, wire_type) = (key >> 3, key & 7);
        match wire_type {
            0 => {
                encode_varint(key, &mut out);
                encode_varint(decode_varint(&mut message).expect("a varint"), &mut out);
            }
            2 => {
                let length = usize::try_from(decode_varint(&mut message).expect("a length")).expect("a length");
                let (content, rest) = message.split_at(length);
                message = rest;
                if let Some(content) = change(field, content) {
                    encode_varint(key, &mut out);
                    encode_varint(content.len() as u64, &mut out);
                    out.extend(content);
                }
            }
            other => panic!("descriptors have no field of wire type {other} here"),
        }
    }
    out
}
