//! Rules of the contract that a linter of protobuf does not know.

use std::collections::HashMap;

use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};

fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(rapport_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    set.file.into_iter().filter(|file| file.package().starts_with("rapport.")).collect()
}

/// Reflection is the manual: whatever a caller meets there is explained there.
#[test]
fn everything_has_a_comment() {
    let mut missing = Vec::new();
    let mut seen = 0;
    for file in files() {
        let mut walk = Walk::new(&file);
        for (index, service) in (0..).zip(&file.service) {
            walk.expect(&[6, index], service.name());
            for (method_index, method) in (0..).zip(&service.method) {
                walk.expect(&[6, index, 2, method_index], &format!("{}.{}", service.name(), method.name()));
            }
        }
        for (index, message) in (0..).zip(&file.message_type) {
            walk.message(&[4, index], message, "");
        }
        for (index, enumeration) in (0..).zip(&file.enum_type) {
            walk.enumeration(&[5, index], enumeration, "");
        }
        seen += walk.seen;
        missing.extend(walk.missing);
    }
    assert!(seen > 2000, "only {seen} elements: is the contract complete?");
    assert!(missing.is_empty(), "without a comment:\n{}", missing.join("\n"));
}

/// Walks a file by the paths of descriptor.proto: 6 service, 4 message, 5 enum; in a message 2 field, 3 message,
/// 4 enum, 8 oneof; in a service 2 method; in an enum 2 value.
struct Walk<'a> {
    package: &'a str,
    comments: HashMap<&'a [i32], &'a str>,
    missing: Vec<String>,
    seen: usize,
}

impl<'a> Walk<'a> {
    fn new(file: &'a FileDescriptorProto) -> Self {
        let locations = file.source_code_info.as_ref().map(|info| info.location.as_slice()).unwrap_or_default();
        let comments = locations.iter().map(|at| (at.path.as_slice(), at.leading_comments().trim())).collect();
        Self { package: file.package(), comments, missing: Vec::new(), seen: 0 }
    }

    fn expect(&mut self, path: &[i32], name: &str) {
        self.seen += 1;
        if self.comments.get(path).is_none_or(|comment| comment.is_empty()) {
            self.missing.push(format!("{}.{name}", self.package));
        }
    }

    fn message(&mut self, path: &[i32], message: &DescriptorProto, outer: &str) {
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            return; // made by the compiler for a map field
        }
        let name = format!("{outer}{}", message.name());
        self.expect(path, &name);
        for (index, field) in (0..).zip(&message.field) {
            self.expect(&[path, &[2, index]].concat(), &format!("{name}.{}", field.name()));
        }
        for (index, oneof) in (0..).zip(&message.oneof_decl) {
            if !oneof.name().starts_with('_') {
                self.expect(&[path, &[8, index]].concat(), &format!("{name}.{}", oneof.name()));
            }
        }
        for (index, nested) in (0..).zip(&message.nested_type) {
            self.message(&[path, &[3, index]].concat(), nested, &format!("{name}."));
        }
        for (index, nested) in (0..).zip(&message.enum_type) {
            self.enumeration(&[path, &[4, index]].concat(), nested, &format!("{name}."));
        }
    }

    fn enumeration(&mut self, path: &[i32], enumeration: &EnumDescriptorProto, outer: &str) {
        let name = format!("{outer}{}", enumeration.name());
        self.expect(path, &name);
        for (index, value) in (0..).zip(&enumeration.value) {
            self.expect(&[path, &[2, index]].concat(), &format!("{name}.{}", value.name()));
        }
    }
}

/// `buf.yaml` relaxes its naming rule for whole files, for the sake of long-running operations: this holds the rest.
#[test]
fn responses_are_named_after_their_rpc_or_are_operations() {
    for file in files() {
        for service in &file.service {
            for method in &service.method {
                let own = format!(".{}.{}", file.package(), method.name());
                assert_eq!(method.input_type(), format!("{own}Request"));
                let operation = method.output_type() == ".google.longrunning.Operation";
                assert!(operation || method.output_type() == format!("{own}Response"), "{own}");
                // An operation says in its response what the RPC would have said.
                let response = format!("{}Response", method.name());
                assert!(file.message_type.iter().any(|message| message.name() == response), "{own}: no {response}");
            }
        }
    }
}

/// Every page of every list is asked for, and answered, in the same words.
#[test]
fn pages_are_uniform() {
    for file in files() {
        let has = |message: &DescriptorProto, name: &str| message.field.iter().any(|field| field.name() == name);
        for message in &file.message_type {
            let name = message.name();
            assert_eq!(has(message, "page_size"), has(message, "page_token"), "{name}");
            if let Some(rpc) = name.strip_suffix("Request").filter(|_| has(message, "page_size")) {
                let response = file.message_type.iter().find(|message| message.name() == format!("{rpc}Response"));
                assert!(has(response.expect("a response"), "next_page_token"), "{rpc}");
            }
        }
    }
}

/// A reason is documented with the code that it travels under; it has no other home.
#[test]
fn every_reason_names_its_code() {
    const CODES: [&str; 14] = [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "CANCELLED",
    ];
    let files = files();
    let file = files.iter().find(|file| file.package() == "rapport.type.v1").expect("the shared types");
    let walk = Walk::new(file);
    let (at, reasons) = (0..).zip(&file.enum_type).find(|(_, of)| of.name() == "ErrorReason").expect("the reasons");
    for (index, value) in (0..).zip(&reasons.value).skip(1) {
        let comment = walk.comments[[5, at, 2, index].as_slice()].split_whitespace().collect::<Vec<_>>().join(" ");
        let code = comment.split([':', ',']).next().unwrap_or_default();
        assert!(CODES.contains(&code), "{}: {comment}", value.name());
        assert!(comment.contains("Metadata: "), "{}: {comment}", value.name());
    }
}
