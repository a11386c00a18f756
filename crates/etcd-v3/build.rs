//! Makes Rust types of etcd's protocol definitions, and tables of their fields, by which messages are
//! read and written as JSON.

use std::fmt::Write as _;
use std::io::{Error, Result};
use std::path::PathBuf;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

const FILES: [&str; 5] = [
    "proto/kv.proto",
    "proto/auth.proto",
    "proto/rpc.proto",
    "proto/lock.proto",
    "proto/election.proto",
];

fn main() -> Result<()> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut config = prost_build::Config::new();
    // Keys and values stay where the request was received.
    config.bytes(["."]);
    let definitions = config.load_fds(&FILES, &["proto"])?;
    let folder = std::env::var_os("OUT_DIR").map(PathBuf::from);
    let folder = folder.ok_or_else(|| Error::other("OUT_DIR is not set"))?;
    let tables = Definitions::read(&definitions).tables()?;
    std::fs::write(folder.join("schema.rs"), tables)?;
    config.compile_fds(definitions)
}

/// All that is defined, under full names such as `.etcdserverpb.RangeRequest`.
struct Definitions<'a> {
    messages: Vec<(String, &'a DescriptorProto)>,
    enums: Vec<(String, &'a EnumDescriptorProto)>,
    files: &'a FileDescriptorSet,
}

impl<'a> Definitions<'a> {
    fn read(files: &'a FileDescriptorSet) -> Self {
        let mut definitions = Self {
            messages: Vec::new(),
            enums: Vec::new(),
            files,
        };
        for file in &files.file {
            let package = format!(".{}", file.package());
            for message in &file.message_type {
                definitions.add(&package, message);
            }
            definitions.add_enums(&package, &file.enum_type);
        }
        definitions
    }

    fn add(&mut self, scope: &str, message: &'a DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        for inside in &message.nested_type {
            self.add(&name, inside);
        }
        self.add_enums(&name, &message.enum_type);
        self.messages.push((name, message));
    }

    fn add_enums(&mut self, scope: &str, enums: &'a [EnumDescriptorProto]) {
        for one in enums {
            self.enums.push((format!("{scope}.{}", one.name()), one));
        }
    }

    fn tables(&self) -> Result<String> {
        let mut text = String::new();
        for (name, message) in &self.messages {
            let fields = message.field.iter().map(|field| self.field(field));
            let fields = fields.collect::<Result<Vec<_>>>()?.join(", ");
            let ident = ident(name);
            line(
                &mut text,
                &format!("static {ident}: Message = Message {{ fields: &[{fields}] }};"),
            );
        }
        let methods = self.methods().join(", ");
        line(
            &mut text,
            &format!("pub(super) static METHODS: &[Method] = &[{methods}];"),
        );
        Ok(text)
    }

    fn field(&self, field: &FieldDescriptorProto) -> Result<String> {
        let kind = match field.r#type() {
            Type::Bool => "Kind::Bool".to_owned(),
            Type::Int32 | Type::Uint32 => "Kind::Number".to_owned(),
            Type::Int64 => "Kind::Int64".to_owned(),
            Type::Uint64 => "Kind::Uint64".to_owned(),
            Type::String => "Kind::Text".to_owned(),
            Type::Bytes => "Kind::Bytes".to_owned(),
            Type::Message => format!("Kind::Message(&{})", ident(field.type_name())),
            Type::Enum => format!("Kind::Enum(&[{}])", self.values(field.type_name())?),
            other => return Err(Error::other(format!("{other:?} is not known to JSON"))),
        };
        let (name, json_name, number) = (field.name(), field.json_name(), field.number());
        let repeated = field.label() == Label::Repeated;
        Ok(format!(
            "Field {{ name: {name:?}, json_name: {json_name:?}, number: {number}, \
             repeated: {repeated}, kind: {kind} }}"
        ))
    }

    fn values(&self, name: &str) -> Result<String> {
        let found = self.enums.iter().find(|(known, _)| known == name);
        let (_, found) = found.ok_or_else(|| Error::other(format!("there is no {name}")))?;
        let values = found.value.iter();
        let values = values.map(|value| format!("({:?}, {})", value.name(), value.number()));
        Ok(values.collect::<Vec<_>>().join(", "))
    }

    fn methods(&self) -> Vec<String> {
        let mut methods = Vec::new();
        for file in &self.files.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    methods.push(format!(
                        "Method {{ path: {path:?}, input: &{}, output: &{}, takes_many: {}, gives_many: {} }}",
                        ident(method.input_type()),
                        ident(method.output_type()),
                        method.client_streaming(),
                        method.server_streaming(),
                    ));
                }
            }
        }
        methods
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}

fn ident(name: &str) -> String {
    name.trim_start_matches('.')
        .replace('.', "_")
        .to_uppercase()
}
