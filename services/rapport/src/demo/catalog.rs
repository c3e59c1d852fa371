//! What a grocer would define on its first day: segments, treatments, touchpoints.

use anyhow::{Context, Result};
use rapport_proto::{
    customization::v1::{
        CreateTouchpointRequest, CreateTreatmentRequest, DecisionPolicy, Touchpoint, Treatment,
        customization_service_client::CustomizationServiceClient,
    },
    segmentation::v1::{
        CreateSegmentRequest, Segment, segment::Kind, segmentation_service_client::SegmentationServiceClient,
    },
};
use serde_json::json;
use tonic::{Code, Status};

use crate::connect::Transport;
use crate::import::value::prost_value;

/// Name, for people, definition.
const SEGMENTS: &[(&str, &str, &str)] = &[
    ("regulars", "Two purchases or more in the last 30 days", r#"count("purchase", duration("720h")) >= 2"#),
    (
        "lapsing",
        "Bought five times or more, and not in the last 60 days",
        r#"count("purchase") >= 5 && count("purchase", duration("1440h")) == 0"#,
    ),
    ("big-spenders", "200 dollars or more in a year", r#"sum("purchase", "value", duration("8760h")) >= 200.0"#),
    ("families", "Children at home", r#"has(customer.kids_count) && customer.kids_count != "0""#),
    ("deal-seekers", "Redeemed a coupon in the last 180 days", r#"count("coupon.redeemed", duration("4320h")) >= 1"#),
    ("vegetarians", "Told us that they cook vegetarian", r#"statements["diet"] == "vegetarian""#),
];

struct Offer {
    name: &'static str,
    title: &'static str,
    eligibility: &'static str,
    topics: &'static [&'static str],
    needs: &'static [&'static str],
    value: f64,
    propensity: f64,
    inducement: &'static str,
}

const OFFERS: &[Offer] = &[
    Offer {
        name: "wine-evening",
        title: "An evening of wines from the coast",
        eligibility: "",
        topics: &["alcohol"],
        needs: &[],
        value: 12.0,
        propensity: 0.30,
        inducement: "",
    },
    Offer {
        name: "family-basket",
        title: "The family basket, packed for you",
        eligibility: r#""families" in segments"#,
        topics: &["groceries"],
        needs: &["family-meals"],
        value: 15.0,
        propensity: 0.20,
        inducement: "",
    },
    Offer {
        name: "vegetarian-recipes",
        title: "Twelve weekday dishes without meat",
        eligibility: "",
        topics: &["recipes"],
        needs: &["diet"],
        value: 8.0,
        propensity: 0.25,
        inducement: "",
    },
    Offer {
        name: "butchers-choice",
        title: "The butcher's choice of the week",
        eligibility: r#"!("vegetarians" in segments)"#,
        topics: &["meat"],
        needs: &[],
        value: 11.0,
        propensity: 0.28,
        inducement: "",
    },
    Offer {
        name: "welcome-back",
        title: "Five dollars off: we missed you",
        eligibility: r#""lapsing" in segments"#,
        topics: &["groceries"],
        needs: &[],
        value: 25.0,
        propensity: 0.20,
        inducement: "five-dollars",
    },
    Offer {
        name: "coupon-booklet",
        title: "Coupons for what you buy most",
        eligibility: r#""deal-seekers" in segments || "regulars" in segments"#,
        topics: &["groceries"],
        needs: &["saving"],
        value: 9.0,
        propensity: 0.30,
        inducement: "coupons",
    },
    Offer {
        name: "seasonal-greens",
        title: "What is in season",
        eligibility: "",
        topics: &["produce"],
        needs: &[],
        value: 5.0,
        propensity: 0.20,
        inducement: "",
    },
];

/// Creates what is not there yet.
///
/// # Errors
/// When the server goes away or refuses a definition.
pub async fn create(channel: &Transport) -> Result<()> {
    let mut segmentation = SegmentationServiceClient::new(channel.clone());
    for (name, display_name, definition) in SEGMENTS {
        let segment = Segment {
            name: (*name).to_owned(),
            display_name: (*display_name).to_owned(),
            kind: Some(Kind::Definition((*definition).to_owned())),
            ..Segment::default()
        };
        let request = CreateSegmentRequest { segment: Some(segment), ..CreateSegmentRequest::default() };
        fresh(segmentation.create_segment(request).await).with_context(|| format!("segment {name}"))?;
    }
    let mut customization = CustomizationServiceClient::new(channel.clone());
    for offer in OFFERS {
        let request = CreateTreatmentRequest { treatment: Some(treatment(offer)), ..CreateTreatmentRequest::default() };
        fresh(customization.create_treatment(request).await).with_context(|| format!("treatment {}", offer.name))?;
    }
    for (name, display_name, channel) in
        [("home-page", "The first thing that a visitor sees", "web"), ("mailer", "The monthly mailing", "mail")]
    {
        let touchpoint = Touchpoint {
            name: name.to_owned(),
            display_name: display_name.to_owned(),
            channel: channel.to_owned(),
            treatments: OFFERS.iter().map(|offer| offer.name.to_owned()).collect(),
            default_treatment: "seasonal-greens".to_owned(),
            policy: Some(DecisionPolicy { max_results: 3, ..DecisionPolicy::default() }),
            ..Touchpoint::default()
        };
        let request = CreateTouchpointRequest { touchpoint: Some(touchpoint), ..CreateTouchpointRequest::default() };
        fresh(customization.create_touchpoint(request).await).with_context(|| format!("touchpoint {name}"))?;
    }
    Ok(())
}

fn treatment(offer: &Offer) -> Treatment {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Treatment {
        name: offer.name.to_owned(),
        display_name: offer.title.to_owned(),
        content: Some(prost_value(json!({ "headline": offer.title, "image": format!("/{}.webp", offer.name) }))),
        eligibility: offer.eligibility.to_owned(),
        needs_served: owned(offer.needs),
        topics: owned(offer.topics),
        value: offer.value,
        propensity_prior: offer.propensity,
        purpose: "marketing".to_owned(),
        inducement: offer.inducement.to_owned(),
        selling: true,
        ..Treatment::default()
    }
}

/// What stands there already is fine: the demo was loaded before.
fn fresh<T>(answer: Result<T, Status>) -> Result<(), Status> {
    match answer {
        Err(status) if status.code() != Code::AlreadyExists => Err(status),
        _ => Ok(()),
    }
}
