//! An application of one tenant that calls the suite.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prost_types::{Struct, Timestamp, Value, value::Kind};
use rapport_proto::{
    customization::v1::{
        CreateTouchpointRequest, CreateTreatmentRequest, DecideRequest, DecideResponse, Touchpoint, Treatment,
        customization_service_client::CustomizationServiceClient,
    },
    feed::v1::feed_service_client::FeedServiceClient,
    google::r#type::Money,
    identity::v1::{
        GetCustomerRequest, GetCustomerResponse, IdentifierClaim, IdentifyRequest, IdentifyResponse,
        identity_service_client::IdentityServiceClient,
    },
    interaction::v1::{
        InteractionInput, RecordInteractionRequest, RecordInteractionResponse, RecordStatementRequest,
        RecordStatementResponse, StatementInput, interaction_service_client::InteractionServiceClient,
    },
    segmentation::v1::{
        CheckMembershipRequest, CreateSegmentRequest, CreateSegmentResponse, Segment, segment,
        segmentation_service_client::SegmentationServiceClient,
    },
    r#type::v1::{CustomerRef, Identifier, customer_ref::Ref},
};
use serde_json::Value as Json;
use terms::{Clock, Service, SystemClock};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use crate::suite::{Shape, Suite};

/// How a call shows on whose behalf it is.
#[derive(Debug, Clone)]
pub struct Credential {
    header: Option<(&'static str, MetadataValue<Ascii>)>,
    within: Duration,
}

impl Credential {
    /// A bearer token.
    ///
    /// # Panics
    /// When it is no header value.
    pub fn bearer(token: &str) -> Self {
        Self::with("authorization", &format!("Bearer {token}"))
    }

    /// A tenant, where everybody may call.
    ///
    /// # Panics
    /// When it is no header value.
    pub fn open(tenant: &str) -> Self {
        Self::with("x-rapport-tenant", tenant)
    }

    /// None.
    pub fn none() -> Self {
        Self { header: None, within: Duration::from_secs(30) }
    }

    /// Any header.
    ///
    /// # Panics
    /// When the text is no header value.
    pub fn with(header: &'static str, value: &str) -> Self {
        Self { header: Some((header, value.parse().expect("a header value"))), ..Self::none() }
    }

    /// The same with another deadline than 30 seconds.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.within = deadline;
        self
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some((header, value)) = &self.header {
            request.metadata_mut().insert(*header, value.clone());
        }
        request.set_timeout(self.within);
        Ok(request)
    }
}

/// A channel that shows a credential.
pub type Line = InterceptedService<Channel, Credential>;

/// An application of one tenant.
#[derive(Debug, Clone)]
pub struct App {
    /// The suite that it calls.
    pub suite: &'static Suite,
    /// Its tenant.
    pub tenant: String,
    credential: Credential,
    channels: [Channel; 4],
}

impl App {
    /// An application of a new tenant of the shared suite, with every scope; `name` begins the tenant's name.
    pub fn new(shape: Shape, name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let tenant = format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self::of(Suite::shared(shape), &tenant)
    }

    /// An application of `tenant`, with every scope.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn of(suite: &'static Suite, tenant: &str) -> Self {
        let credential = match &suite.issuer {
            Some(issuer) => Credential::bearer(&issuer.token(tenant, &["*.admin"])),
            None => Credential::open(tenant),
        };
        let channels = Service::ALL.map(|service| {
            let url = format!("http://{}", suite.address(service));
            Endpoint::from_shared(url).expect("an address").tcp_nodelay(true).connect_lazy()
        });
        Self { suite, tenant: tenant.to_owned(), credential, channels }
    }

    /// The same application with another credential.
    #[must_use]
    pub fn showing(&self, credential: Credential) -> Self {
        Self { credential, ..self.clone() }
    }

    /// The same application, which waits no longer than `deadline` for an answer.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        self.showing(self.credential.clone().within(deadline))
    }

    /// The way to a service.
    pub fn line(&self, service: Service) -> Line {
        let place = Service::ALL.iter().position(|s| *s == service).unwrap_or_default();
        InterceptedService::new(self.channels[place].clone(), self.credential.clone())
    }

    /// Identity.
    pub fn identity(&self) -> IdentityServiceClient<Line> {
        IdentityServiceClient::new(self.line(Service::Identity))
    }

    /// Interaction.
    pub fn interaction(&self) -> InteractionServiceClient<Line> {
        InteractionServiceClient::new(self.line(Service::Interaction))
    }

    /// Segmentation.
    pub fn segmentation(&self) -> SegmentationServiceClient<Line> {
        SegmentationServiceClient::new(self.line(Service::Segmentation))
    }

    /// Customization.
    pub fn customization(&self) -> CustomizationServiceClient<Line> {
        CustomizationServiceClient::new(self.line(Service::Customization))
    }

    /// The feed of a service.
    pub fn feed(&self, service: Service) -> FeedServiceClient<Line> {
        FeedServiceClient::new(self.line(service))
    }

    /// Identifies someone by identifiers, with traits.
    ///
    /// # Errors
    /// The status.
    pub async fn identify(&self, identifiers: &[(&str, &str)], traits: Json) -> Result<IdentifyResponse, Status> {
        let request = IdentifyRequest {
            source: "shop".to_owned(),
            identifiers: identifiers.iter().map(|(namespace, value)| claim(namespace, value)).collect(),
            traits: Some(object(traits)),
            ..IdentifyRequest::default()
        };
        Ok(self.identity().identify(request).await?.into_inner())
    }

    /// Reads a customer.
    ///
    /// # Errors
    /// The status.
    pub async fn customer(&self, customer: CustomerRef, at_least: &str) -> Result<GetCustomerResponse, Status> {
        let request = GetCustomerRequest { customer: Some(customer), at_least: at_least.to_owned() };
        Ok(self.identity().get_customer(request).await?.into_inner())
    }

    /// Records an interaction that happens now, worth some euros.
    ///
    /// # Errors
    /// The status.
    pub async fn record(
        &self,
        customer: CustomerRef,
        kind: &str,
        euros: i64,
    ) -> Result<RecordInteractionResponse, Status> {
        self.record_input(InteractionInput {
            customer: Some(customer),
            r#type: kind.to_owned(),
            channel: "shop".to_owned(),
            value: Some(money(euros)),
            ..InteractionInput::default()
        })
        .await
    }

    /// Records an interaction.
    ///
    /// # Errors
    /// The status.
    pub async fn record_input(&self, input: InteractionInput) -> Result<RecordInteractionResponse, Status> {
        let request = RecordInteractionRequest { interaction: Some(input), ..RecordInteractionRequest::default() };
        Ok(self.interaction().record_interaction(request).await?.into_inner())
    }

    /// Records what a customer says about a topic.
    ///
    /// # Errors
    /// The status.
    pub async fn say(
        &self,
        customer: CustomerRef,
        topic: &str,
        value: Json,
    ) -> Result<RecordStatementResponse, Status> {
        let statement =
            StatementInput { topic: topic.to_owned(), value: Some(json(value)), ..StatementInput::default() };
        let request = RecordStatementRequest {
            customer: Some(customer),
            statement: Some(statement),
            ..RecordStatementRequest::default()
        };
        Ok(self.interaction().record_statement(request).await?.into_inner())
    }

    /// Creates a segment by a rule.
    ///
    /// # Errors
    /// The status.
    pub async fn segment(&self, name: &str, definition: &str) -> Result<CreateSegmentResponse, Status> {
        let segment = Segment {
            name: name.to_owned(),
            kind: Some(segment::Kind::Definition(definition.to_owned())),
            ..Segment::default()
        };
        let request = CreateSegmentRequest { segment: Some(segment), ..CreateSegmentRequest::default() };
        Ok(self.segmentation().create_segment(request).await?.into_inner())
    }

    /// Whether a customer is in a segment, and since which revision that is known.
    ///
    /// # Errors
    /// The status.
    pub async fn member(&self, customer: CustomerRef, segment: &str, at_least: &str) -> Result<bool, Status> {
        let request = CheckMembershipRequest {
            customer: Some(customer),
            segments: vec![segment.to_owned()],
            at_least: at_least.to_owned(),
            ..CheckMembershipRequest::default()
        };
        let answer = self.segmentation().check_membership(request).await?.into_inner();
        Ok(answer.checks.first().is_some_and(|check| check.member))
    }

    /// Creates a treatment that needs no permission; a higher value ranks it higher.
    ///
    /// # Errors
    /// The status.
    pub async fn treatment(&self, name: &str, eligibility: &str, value: f64) -> Result<String, Status> {
        let treatment = Treatment {
            name: name.to_owned(),
            eligibility: eligibility.to_owned(),
            value,
            purpose: "transactional".to_owned(),
            content: Some(json(serde_json::json!({ "headline": name }))),
            ..Treatment::default()
        };
        let request = CreateTreatmentRequest { treatment: Some(treatment), ..CreateTreatmentRequest::default() };
        Ok(self.customization().create_treatment(request).await?.into_inner().revision)
    }

    /// Creates a touchpoint with candidates, the last of which is the default.
    ///
    /// # Errors
    /// The status.
    pub async fn touchpoint(&self, name: &str, treatments: &[&str]) -> Result<String, Status> {
        let touchpoint = Touchpoint {
            name: name.to_owned(),
            treatments: treatments.iter().map(|t| (*t).to_owned()).collect(),
            default_treatment: treatments.last().map(|t| (*t).to_owned()).unwrap_or_default(),
            ..Touchpoint::default()
        };
        let request = CreateTouchpointRequest { touchpoint: Some(touchpoint), ..CreateTouchpointRequest::default() };
        Ok(self.customization().create_touchpoint(request).await?.into_inner().revision)
    }

    /// Decides, with an explanation.
    ///
    /// # Errors
    /// The status.
    pub async fn decide(
        &self,
        customer: CustomerRef,
        touchpoint: &str,
        at_least: &str,
    ) -> Result<DecideResponse, Status> {
        let request = DecideRequest {
            customer: Some(customer),
            touchpoint: touchpoint.to_owned(),
            at_least: at_least.to_owned(),
            explain: true,
            ..DecideRequest::default()
        };
        Ok(self.customization().decide(request).await?.into_inner())
    }
}

/// The name of the first treatment of a decision; empty if there is none.
pub fn chosen(decision: &DecideResponse) -> &str {
    decision.treatments.first().map_or("", |ranked| ranked.treatment.as_str())
}

/// A customer by id.
pub fn by_id(id: &str) -> CustomerRef {
    CustomerRef { r#ref: Some(Ref::CustomerId(id.to_owned())) }
}

/// A customer by identifier.
pub fn by(namespace: &str, value: &str) -> CustomerRef {
    CustomerRef { r#ref: Some(Ref::Identifier(identifier(namespace, value))) }
}

/// An identifier.
pub fn identifier(namespace: &str, value: &str) -> Identifier {
    Identifier { namespace: namespace.to_owned(), value: value.to_owned() }
}

/// An identifier as a source claims it, unproven.
pub fn claim(namespace: &str, value: &str) -> IdentifierClaim {
    IdentifierClaim { identifier: Some(identifier(namespace, value)), verified: None }
}

/// Euros.
pub fn money(euros: i64) -> Money {
    Money { currency_code: "EUR".to_owned(), units: euros, nanos: 0 }
}

/// So many milliseconds from now; negative is before.
pub fn from_now(millis: i64) -> Timestamp {
    let micros = SystemClock.now().micros() + millis * 1_000;
    let (seconds, nanos) = terms::Timestamp(micros).parts();
    Timestamp { seconds, nanos }
}

/// A free-form value.
pub fn json(value: Json) -> Value {
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(b) => Kind::BoolValue(b),
        Json::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(items) => Kind::ListValue(prost_types::ListValue { values: items.into_iter().map(json).collect() }),
        object_value @ Json::Object(_) => Kind::StructValue(object(object_value)),
    };
    Value { kind: Some(kind) }
}

/// A free-form object; empty for anything else.
pub fn object(value: Json) -> Struct {
    match value {
        Json::Object(fields) => {
            Struct { fields: fields.into_iter().map(|(name, value)| (name, json(value))).collect() }
        }
        _ => Struct::default(),
    }
}
