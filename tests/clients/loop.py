"""The loop by a client that knows nothing but an address: every message type comes from server reflection."""

import sys
import traceback

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

TENANT = "python"


class Suite:
    """Calls RPCs by name with dictionaries."""

    def __init__(self, address, tenant=TENANT):
        self.channel = grpc.insecure_channel(address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = DescriptorPool(self.database)
        self.metadata = [("x-rapport-tenant", tenant)]

    def services(self):
        return sorted(self.database.get_services())

    def method(self, name):
        service, method = name.split("/")
        return self.pool.FindServiceByName(service).methods_by_name[method]

    def kinds(self, name):
        method = self.method(name)
        request = message_factory.GetMessageClass(method.input_type)
        return request, message_factory.GetMessageClass(method.output_type)

    def parsed(self, name, body):
        return json_format.ParseDict(body, self.kinds(name)[0](), descriptor_pool=self.pool)

    def shown(self, message):
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self.pool)

    def call(self, name, body):
        request, reply = self.kinds(name)
        rpc = self.channel.unary_unary(f"/{name}", request.SerializeToString, reply.FromString)
        return self.shown(rpc(self.parsed(name, body), metadata=self.metadata, timeout=30))

    def stream(self, name, bodies):
        """Sends a stream and gives every reply; for a server stream, one body."""
        request, reply = self.kinds(name)
        if self.method(name).client_streaming:
            rpc = self.channel.stream_stream(f"/{name}", request.SerializeToString, reply.FromString)
            sent = iter([self.parsed(name, body) for body in bodies])
        else:
            rpc = self.channel.unary_stream(f"/{name}", request.SerializeToString, reply.FromString)
            sent = self.parsed(name, bodies[0])
        return [self.shown(message) for message in rpc(sent, metadata=self.metadata, timeout=30)]


IDENTITY = "rapport.identity.v1.IdentityService"
INTERACTION = "rapport.interaction.v1.InteractionService"
SEGMENTATION = "rapport.segmentation.v1.SegmentationService"
CUSTOMIZATION = "rapport.customization.v1.CustomizationService"
JANE = {"identifier": {"namespace": "email", "value": "jane@example.org"}}
failed = 0


def check(what, holds, found=""):
    global failed
    if holds:
        print(f"ok python: {what}", flush=True)
    else:
        failed += 1
        print(f"not ok python: {what}: {found}", flush=True)


def refused(what, code, reason, call):
    """Checks the status, and the ErrorInfo that travels with it."""
    try:
        found = call()
    except grpc.RpcError as error:
        details = dict(error.trailing_metadata() or []).get("grpc-status-details-bin", b"")
        holds = error.code() == code and reason.encode() in details
        check(what, holds, f"{error.code()} {error.details()}")
    else:
        check(what, False, found)


def identify(suite):
    body = {
        "source": "shop",
        "identifiers": [{"identifier": JANE["identifier"]}],
        "traits": {"name": "Jane", "country": "NL"},
    }
    first = suite.call(f"{IDENTITY}/Identify", body)
    again = suite.call(f"{IDENTITY}/Identify", body)
    check("Identify creates", first.get("created") is True, first)
    check("Identify twice is one customer", again["customer_id"] == first["customer_id"], again)
    return first["customer_id"]


def interact(suite):
    purchase = {"customer": JANE, "type": "purchase", "value": {"currency_code": "EUR", "units": "40"}}
    one = suite.call(f"{INTERACTION}/RecordInteraction", {"interaction": purchase})
    check("RecordInteraction", one["interaction"]["interaction_id"].startswith("int_"), one)
    replies = suite.stream(f"{INTERACTION}/RecordInteractions", [
        {"interaction": purchase, "correlation": "first"},
        {"interaction": {"type": "purchase"}, "correlation": "second"},
        {"interaction": purchase, "correlation": "third"},
    ])
    verdicts = {v["correlation"]: v for reply in replies for v in reply.get("verdicts", [])}
    check("RecordInteractions gives each record its verdict", sorted(verdicts) == ["first", "second", "third"], verdicts)
    check("a bad record is refused alone", "error" in verdicts.get("second", {}), verdicts)
    return replies[-1]["revision"]


def differentiate(suite, customer, revision):
    rule = 'customer.country == "NL" && count("purchase") >= 3'
    segment = {"name": "dutch-buyers", "definition": rule}
    created = suite.call(f"{SEGMENTATION}/CreateSegment", {"segment": segment})
    check("CreateSegment", created["segment"]["segment_id"].startswith("seg_"), created)
    body = {"customer": JANE, "segments": ["dutch-buyers"], "at_least": revision}
    for _ in range(200):
        checked = suite.call(f"{SEGMENTATION}/CheckMembership", body)
        if checked["checks"][0].get("member"):
            break
    check("the customer is a member", checked["checks"][0].get("member") is True, checked)
    pages = suite.stream(f"{SEGMENTATION}/ListMembers", [{"segment": "dutch-buyers"}])
    members = [member["customer_id"] for page in pages for member in page.get("members", [])]
    check("ListMembers streams the member", members == [customer], members)
    refused("a rule that does not type-check", grpc.StatusCode.INVALID_ARGUMENT, "RULE_INVALID",
            lambda: suite.call(f"{SEGMENTATION}/PreviewSegment", {"definition": "count("}))


def customize(suite, customer):
    for name, rule, value in [("greens", 'statements["diet"] == "vegetarian"', 10), ("plain", "", 5)]:
        treatment = {"name": name, "eligibility": rule, "value": value, "purpose": "transactional"}
        suite.call(f"{CUSTOMIZATION}/CreateTreatment", {"treatment": treatment})
    touchpoint = {"name": "home", "treatments": ["greens", "plain"], "default_treatment": "plain"}
    ready = suite.call(f"{CUSTOMIZATION}/CreateTouchpoint", {"touchpoint": touchpoint})
    decide = {"customer": JANE, "touchpoint": "home", "explain": True}
    before = suite.call(f"{CUSTOMIZATION}/Decide", decide | {"at_least": ready["revision"]})
    check("Decide", before["treatments"][0]["treatment"] == "plain", before)
    statement = {"customer": JANE, "statement": {"topic": "diet", "value": "vegetarian", "kind": "STATEMENT_KIND_NEED"}}
    said = suite.call(f"{INTERACTION}/RecordStatement", statement)
    after = suite.call(f"{CUSTOMIZATION}/Decide", decide | {"at_least": said["revision"]})
    check("Decide differently after the statement", after["treatments"][0]["treatment"] == "greens", after)
    because = [b for b in after.get("because", []) if b.get("statement_id") == said["statement"]["statement_id"]]
    check("because[] names the statement", len(because) == 1 and because[0]["without"][0] == "plain", after)
    outcome = {"decision_id": after["decision_id"], "outcome": "accepted"}
    told = suite.call(f"{CUSTOMIZATION}/ReportOutcome", outcome)
    check("ReportOutcome", told["outcome"]["treatment"] == "greens", told)
    replay = suite.call(f"{CUSTOMIZATION}/ReplayDecision", {"decision_id": after["decision_id"]})
    check("ReplayDecision is identical", replay.get("identical") is True, replay.get("differences"))
    found = suite.call(f"{CUSTOMIZATION}/GetRelationship", {"customer": {"customer_id": customer}})
    parts = [found.get(part, {}).get("holds") for part in ("identified", "in_dialogue", "customised")]
    check("GetRelationship: identified, in dialogue, customised", parts == [True] * 3, found)


def refuse(suite, address, customer):
    refused("an empty request", grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS",
            lambda: suite.call(f"{IDENTITY}/GetCustomer", {}))
    refused("an RPC that comes later", grpc.StatusCode.UNIMPLEMENTED, "NOT_YET_SERVED",
            lambda: suite.call(f"{IDENTITY}/EraseCustomer", {}))
    stranger = Suite(address, tenant="stranger")
    refused("another tenant's customer", grpc.StatusCode.NOT_FOUND, "CUSTOMER_NOT_FOUND",
            lambda: stranger.call(f"{IDENTITY}/GetCustomer", {"customer": {"customer_id": customer}}))


def main(address):
    suite = Suite(address)
    services = suite.services()
    expected = {IDENTITY, INTERACTION, SEGMENTATION, CUSTOMIZATION, "rapport.feed.v1.FeedService"}
    check("reflection lists the services", expected <= set(services), services)
    customer = identify(suite)
    revision = interact(suite)
    differentiate(suite, customer, revision)
    customize(suite, customer)
    refuse(suite, address, customer)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
        print("ok python: the end")
    except Exception:
        failed += 1
        print("not ok python: " + traceback.format_exc().strip().replace("\n", "\n    "))
    sys.exit(1 if failed else 0)
