//! What the requests of `google.longrunning.Operations` say: names, filters, pages.

use terms::{Fault, Reason, Service, Violations};

use super::OperationId;

/// Why a name is none, as it reads on after the field's name.
const NAME: &str = "is not the name of an operation; give `operations/<service>/<id>` as it came";

/// Reads `operations/<service>/<id>`.
pub(super) fn name(field: &str, text: &str) -> Result<(Service, OperationId), Fault> {
    let wrong = || Fault::invalid(field, Reason::InvalidFields, NAME);
    let (service, id) = text.strip_prefix("operations/").and_then(|rest| rest.split_once('/')).ok_or_else(wrong)?;
    let id = id.parse().map_err(|_| wrong())?;
    match service.parse() {
        Ok(service) => Ok((service, id)),
        Err(_) => Err(unknown(text)),
    }
}

/// Reads a collection: `operations` (or nothing) is all of them, `operations/<service>` one service's.
pub(super) fn parent(text: &str) -> Result<Option<Service>, Fault> {
    match text.trim_end_matches('/') {
        "" | "operations" => Ok(None),
        rest => {
            let service = rest.strip_prefix("operations/").and_then(|service| service.parse().ok());
            let wrong = "names no collection of operations; give `operations` or `operations/<service>`";
            service.map(Some).ok_or_else(|| Fault::invalid("name", Reason::InvalidFields, wrong))
        }
    }
}

/// There is no such operation here, for this caller.
pub(super) fn unknown(name: &str) -> Fault {
    Fault::not_found(Reason::OperationNotFound, "such operation").with("name", name)
}

/// Which operations a list shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filter {
    /// Those that have ended, or those that have not.
    pub(super) done: Option<bool>,
    /// Those that this RPC started.
    pub(super) kind: Option<String>,
}

impl Filter {
    /// Reads a filter: `done`, `!done` and `kind == "TrainMatcher"`, joined by `&&`.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut filter = Self::default();
        let mut wrong = Violations::new();
        for term in text.split("&&").map(str::trim).filter(|_| !text.trim().is_empty()) {
            match term {
                "done" | "done == true" => filter.done = Some(true),
                "!done" | "done == false" => filter.done = Some(false),
                _ => match quoted(term) {
                    Some(kind) => filter.kind = Some(kind.to_owned()),
                    None => wrong.add(
                        "filter",
                        "is not understood; give `done`, `!done` or `kind == \"<rpc>\"`, joined by `&&`",
                    ),
                },
            }
        }
        wrong.done().map(|()| filter)
    }
}

/// The name in `kind == "name"`.
fn quoted(term: &str) -> Option<&str> {
    let value = term.strip_prefix("kind")?.trim_start().strip_prefix("==")?.trim();
    let name = value.strip_prefix('"')?.strip_suffix('"')?;
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let id = "op_01h455vb4pex5vsknk084sn02q";
        assert_eq!(name("name", &format!("operations/identity/{id}")).unwrap().0, Service::Identity);
        for wrong in ["", "operations", "operations/identity", "operations/identity/", "x/identity/op_1", id] {
            assert_eq!(name("name", wrong).unwrap_err().reason(), Reason::InvalidFields, "{wrong}");
        }
        let elsewhere = name("name", &format!("operations/nonsense/{id}")).unwrap_err();
        assert_eq!(elsewhere.reason(), Reason::OperationNotFound);
    }

    #[test]
    fn collections() {
        assert_eq!(parent("").unwrap(), None);
        assert_eq!(parent("operations/").unwrap(), None);
        assert_eq!(parent("operations/segmentation").unwrap(), Some(Service::Segmentation));
        assert!(parent("operations/nonsense").is_err() && parent("projects/x").is_err());
    }

    #[test]
    fn filters() {
        let filter = |text: &str| Filter::parse(text).map(|f| (f.done, f.kind));
        assert_eq!(filter(" ").unwrap(), (None, None));
        assert_eq!(filter("!done && kind == \"TrainMatcher\"").unwrap(), (Some(false), Some("TrainMatcher".into())));
        assert_eq!(filter("done").unwrap(), (Some(true), None));
        for wrong in ["kind = \"x\"", "kind == \"\"", "done &&", "&&", "kind == \"a' OR 1\"", "x"] {
            assert!(filter(wrong).is_err(), "{wrong}");
        }
    }
}
