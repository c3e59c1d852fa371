//! `RecordConsent`.

use host::Call;
use interaction_domain::{
    consent::{ConsentState, LawfulBasis},
    draft::LABEL_MAX,
    record_consent::{ConsentDraft, EVIDENCE_MAX, RecordConsent, record_consent as record},
};
use rapport_proto::interaction::v1::{
    Consent, ConsentState as WireState, LawfulBasis as WireBasis, RecordConsentRequest, RecordConsentResponse,
};
use terms::{Fault, Violations};

use super::{Ports, how};
use crate::{decode, encode};

pub(super) async fn record_consent(
    ports: &Ports,
    call: Call,
    body: RecordConsentRequest,
) -> Result<RecordConsentResponse, Fault> {
    let mut wrong = Violations::new();
    let how = how(&mut wrong, &call, &body.request_id, body.validate_only, &body);
    let customer = decode::customer(&mut wrong, "customer", body.customer);
    let source_interaction = decode::source_interaction(&mut wrong, &body.source_interaction);
    let consents = body.consents.into_iter().enumerate();
    let consents = consents.map(|(i, consent)| draft(&mut wrong, &format!("consents[{i}]."), consent)).collect();
    let said = RecordConsent { customer, consents, source_interaction };
    said.check(&mut wrong, ports.domain.clock.now());
    wrong.done()?;
    let written = record(&ports.domain, &call.caller, how, &said).await?;
    Ok(RecordConsentResponse {
        consents: written.value.iter().map(encode::consent).collect(),
        revision: written.revision.to_string(),
    })
}

fn draft(wrong: &mut Violations, prefix: &str, consent: Consent) -> ConsentDraft {
    let at = |name: &str| format!("{prefix}{name}");
    let state = wrong.take(host::decode::enumeration::<WireState>(&at("state"), consent.state));
    let basis = wrong.take(host::decode::enumeration::<WireBasis>(&at("lawful_basis"), consent.lawful_basis));
    ConsentDraft {
        purpose: consent.purpose,
        channel: consent.channel,
        topic: consent.topic,
        // A number that names no state was noted already: any will do.
        state: match state {
            Some(state) => decode::code(ConsentState::from_code)(state.into()),
            None => Some(ConsentState::Denied),
        },
        basis: basis
            .and_then(|basis| decode::code(LawfulBasis::from_code)(basis.into()))
            .unwrap_or(LawfulBasis::Consent),
        source: decode::plain(wrong, &at("source"), consent.source, LABEL_MAX),
        evidence: decode::plain(wrong, &at("evidence"), consent.evidence, EVIDENCE_MAX),
        valid_from: decode::time(wrong, &at("valid_from"), consent.valid_from),
        valid_until: decode::time(wrong, &at("valid_until"), consent.valid_until),
        occurred_at: decode::time(wrong, &at("occurred_at"), consent.occurred_at),
    }
}
