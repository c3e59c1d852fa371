"""The checks of tests/deploy that read files: what `deploy/` says against what the code says.

The folder that is named on the command line holds what tests/deploy made before, as far as its tools were there.
"""

import base64
import hashlib
import json
import pathlib
import re
import sys
import time
import tomllib

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
WORK = pathlib.Path(sys.argv[1])
SERVICES = ["identity", "interaction", "segmentation", "customization"]
WRONG = []


def check(holds, message):
    if not holds:
        WRONG.append(message)


def made(name):
    """A file that tests/deploy made, if it could."""
    file = WORK / name
    return file.read_text() if file.exists() else None


# --- metrics ---------------------------------------------------------------------------------------------------------

UNITS = {"": "", "s": "_seconds", "By": "_bytes", "1": "_ratio"}
SUFFIXES = {"counter": ["_total"], "gauge": [""], "up_down_counter": [""], "histogram": ["_bucket", "_sum", "_count"]}
INSTRUMENT = re.compile(r"\.[uif]64_(?:observable_)?(counter|gauge|up_down_counter|histogram)\(\s*([^)]*?)\s*\)")


def exported():
    """The names that `/metrics` has for the instruments of the code, and the labels on them."""
    names, labels = set(), {"job", "instance", "le"}
    for file in sorted([*ROOT.glob("shared/*/src/**/*.rs"), *ROOT.glob("services/*/src/**/*.rs")]):
        text = file.read_text()
        for found in INSTRUMENT.finditer(text):
            kind, argument = found.groups()
            chain = text[found.end() : text.index(".build()", found.end())]
            unit = re.search(r'\.with_unit\("([^"]*)"\)', chain)
            unit = re.sub(r"\{.*\}", "", unit.group(1)) if unit else ""
            check(unit in UNITS, f"{file}: the unit {unit} has no known suffix")
            if argument.startswith('"'):
                dotted = [argument.strip('"')]
            else:  # a function makes several: their names are what it is called with
                dotted = re.findall(r'Self::\w+\(\s*"([a-z0-9_.]+)"', text)
            for name in dotted:
                for suffix in SUFFIXES[kind]:
                    names.add(name.replace(".", "_") + UNITS.get(unit, "") + suffix)
            labels.update(label.replace(".", "_") for label in re.findall(r'KeyValue::new\("([^"]+)"', text))
    return names, labels


def used(expression):
    """The metrics and the labels of an expression in PromQL."""
    labels = {"service"} & set(re.findall(r'"(\w+)"', expression))
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    values = re.fullmatch(r"label_values\((.+),\s*(\w+)\)", text)
    if values:
        text = values.group(1)
        labels.add(values.group(2))
    for matchers in re.findall(r"\{([^}]*)\}", text):
        labels.update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", text):
        labels.update(re.findall(r"\w+", group))
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", text)
    words = re.findall(r"(?<![\w.:$])([a-zA-Z_:][\w:]*)(?!\s*\(|[\w:])", text)
    return set(words) - {"and", "or", "unless", "bool"}, labels


def metrics():
    names, labels = exported()
    check("rpc_server_call_duration_seconds_count" in names, "the instruments of the code are not found")
    rules = yaml.safe_load((DEPLOY / "alerts/rapport.rules.yaml").read_text())
    tests = yaml.safe_load((DEPLOY / "alerts/rapport.rules.test.yaml").read_text())["tests"]
    dashboard = json.loads((DEPLOY / "dashboards/rapport.json").read_text())
    rules = [rule for group in rules["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    labels.add("service")  # made by a recording rule

    expressions = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules]
    expressions += [("the alerts' test", series["series"]) for test in tests for series in test["input_series"]]
    for panel in dashboard["panels"]:
        expressions += [(f"panel `{panel['title']}`", target["expr"]) for target in panel.get("targets", [])]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            expressions.append((f"variable `{variable['name']}`", variable["query"]["query"]))
    for place, expression in expressions:
        of, with_labels = used(expression)
        check(of, f"{place}: no metric is found in {expression}")
        for name in sorted(of - names - recorded):
            check(False, f"{place}: {name} is exported by nobody")
        for label in sorted(with_labels - labels):
            check(False, f"{place}: {label} is no label of any metric")

    tested = {case["alertname"] for test in tests for case in test.get("alert_rule_test", []) if case.get("exp_alerts")}
    for rule in rules:
        check("alert" not in rule or rule["alert"] in tested, f"{rule.get('alert')} is never seen firing in a test")

    # A panel's ids and its place are its own.
    ids = [panel["id"] for panel in dashboard["panels"]]
    check(len(ids) == len(set(ids)), "two panels of the dashboard have one id")

    live = made("metrics.txt")
    if live is not None:
        types = set(re.findall(r"^# TYPE (\w+) \w+$", live, re.M)) - {"target_info"}
        families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}
        check("rpc_server_active_requests" in types, "/metrics has no rpc_server_active_requests")
        for name in sorted(types - families):
            check(False, f"/metrics has {name}, which is not found in the code")
        check(made("readyz.txt").startswith("serving\n"), f"/readyz answers {made('readyz.txt')!r}")
        check(made("healthz.txt") == "alive\n", f"/healthz answers {made('healthz.txt')!r}")


# --- settings --------------------------------------------------------------------------------------------------------


def settings():
    """Every key that the shared sections of the configuration know, dotted."""
    folder = ROOT / "shared/host/src/config"
    structs = {}
    for name, body in re.findall(r"^pub struct (\w+) \{\n(.*?)^\}", (folder / "sections.rs").read_text(), re.M | re.S):
        structs[name] = re.findall(r"^    pub (\w+): (?:Option<)?(\w+)", body, re.M)
    config = re.search(r"^pub struct Config \{\n(.*?)^\}", (folder / "mod.rs").read_text(), re.M | re.S).group(1)
    known = set()

    def walk(path, kind):
        for key, inner in structs[kind]:
            known.add(f"{path}.{key}")
            if inner in structs:
                walk(f"{path}.{key}", inner)

    for section, kind in re.findall(r"^    pub (\w+): (\w+)", config, re.M):
        walk(section, kind)
    return known


def dotted(table, path=""):
    for key, value in table.items():
        yield f"{path}{key}"
        if isinstance(value, dict):
            yield from dotted(value, f"{path}{key}.")


def configuration():
    known = settings()
    check("server.address" in known and "server.tls.cert_file" in known, "the settings of the code are not found")
    text = (DEPLOY / "kubernetes/rapport.toml").read_text()
    parsed = tomllib.loads(text)
    sections = {key.split(".")[0] for key in known}
    for key in dotted(parsed):
        check(key in known | sections, f"rapport.toml: `{key}` is no setting")
    for file in sorted(DEPLOY.rglob("*")):
        if file.is_file() and file.suffix in {".toml", ".yaml", ".md"}:
            for variable in sorted(set(re.findall(r"\bRAPPORT_[A-Z]+__\w+", file.read_text()))):
                key = variable.removeprefix("RAPPORT_").lower().replace("__", ".")
                check(key in known, f"{file.relative_to(ROOT)}: {variable} is no setting")
    secret = [key for key in ("url",) if key in parsed["store"] or key in parsed.get("cache", {})]
    check(not secret, "rapport.toml holds an address with a password")
    dump = made("dump.toml")
    if dump is not None:
        check(tomllib.loads(dump)["store"]["kind"] == "postgres", "--dump-config does not show what rapport.toml says")
    return parsed


# --- Compose ---------------------------------------------------------------------------------------------------------


def compose(config):
    file = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = file["services"]
    check(set(services) == {"postgres", "redis", "migrate", *SERVICES}, "compose.yaml has other services")
    mounted = {f"/run/secrets/{name}" for name in file["secrets"]}
    for name in SERVICES:
        service = services[name]
        check(service["command"] == ["serve", name], f"compose.yaml: {name} serves something else")
        host = config["peers"][name].removeprefix("http://").removesuffix(":7400")
        check(service["container_name"] == host, f"compose.yaml: {name} is not found at {host}")
        check(service["read_only"] and service["cap_drop"] == ["ALL"], f"compose.yaml: {name} may too much")
        for path in (config["auth"]["jwks_file"], config["store"]["lookup_key_file"], config["peers"]["token_file"]):
            check(path in mounted and path.rsplit("/", 1)[1] in service["secrets"], f"compose.yaml: {name} lacks {path}")
    for name, service in services.items():
        for port in service.get("ports", []):
            check(port.startswith("127.0.0.1:"), f"compose.yaml: {name} is open to other machines at {port}")
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or key.endswith("__URL"):
                check("${" in value, f"compose.yaml: {name} has {key} in the clear")
    example = (DEPLOY / ".env.example").read_text()
    for variable in set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text())):
        check(re.search(rf"^{variable}=$", example, re.M), f".env.example lacks {variable}, or gives it a value")


# --- Kubernetes ------------------------------------------------------------------------------------------------------


def seconds(span):
    return int(span[:-1]) * {"s": 1, "m": 60}[span[-1]]


def kubernetes(config):
    for file in sorted((DEPLOY / "kubernetes").rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            check(document.get("kind") and document.get("apiVersion"), f"{file.relative_to(ROOT)}: no kind")
    manifests = made("manifests.yaml")
    if manifests is None:
        return
    found = {}
    for document in yaml.safe_load_all(manifests):
        found.setdefault(document["kind"], {})[document["metadata"]["name"]] = document
    check("Secret" not in found, "the manifests contain a secret")
    names = {f"rapport-{service}" for service in SERVICES}
    for kind in ("Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"):
        check(set(found[kind]) == names, f"the manifests have other objects of the kind {kind}: {set(found[kind])}")
    config_map = next(iter(found["ConfigMap"]))
    for service in SERVICES:
        name = f"rapport-{service}"
        check(config["peers"][service] == f"http://{name}:7400", f"`peers.{service}` is not the address of {name}")
        deployment = found["Deployment"][name]["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        check(labels["app.kubernetes.io/name"] == service, f"{name}: the label does not name the service")
        for selector in (
            deployment["selector"]["matchLabels"],
            found["Service"][name]["spec"]["selector"],
            found["PodDisruptionBudget"][name]["spec"]["selector"]["matchLabels"],
        ):
            check(selector.items() <= labels.items(), f"{name}: {selector} selects other pods")
            check(selector.get("app.kubernetes.io/name") == service, f"{name}: {selector} selects too many pods")
        target = found["HorizontalPodAutoscaler"][name]["spec"]["scaleTargetRef"]["name"]
        check(target == name, f"{name}: its autoscaler scales {target}")
        pod = deployment["template"]["spec"]
        # The host gives background work 10 s more to reach a safe point.
        least = seconds(config["server"]["linger"]) + seconds(config["server"]["drain"]) + 10
        check(pod["terminationGracePeriodSeconds"] > least, f"{name}: is killed before it has drained")
        ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
        check(config["server"]["address"].endswith(f":{ports['grpc']}"), f"{name}: serves gRPC at another port")
        check(config["telemetry"]["address"].endswith(f":{ports['metrics']}"), f"{name}: serves metrics at another port")
    owners = {**found["Deployment"], **found["Job"]}
    for name, owner in owners.items():
        pod = owner["spec"]["template"]["spec"]
        container = pod["containers"][0]
        inner = container["securityContext"]
        check(pod["securityContext"]["runAsNonRoot"] is True, f"{name}: may run as root")
        check(inner["readOnlyRootFilesystem"] and not inner["allowPrivilegeEscalation"], f"{name}: may too much")
        check(container["resources"]["limits"]["memory"], f"{name}: has no limit of memory")
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        check(volumes["config"]["configMap"]["name"] == config_map, f"{name}: mounts another configuration")
        sources = [source for source in volumes["secrets"]["projected"]["sources"]]
        paths = {f"/run/secrets/{item['path']}" for s in sources for kind in s.values() for item in kind["items"]}
        needed = {config["store"]["lookup_key_file"]}
        if name in names:
            needed |= {config["auth"]["jwks_file"], config["peers"]["token_file"]}
        check(needed == paths, f"{name}: has the files {paths}, needs {needed}")
    served = tomllib.loads(found["ConfigMap"][config_map]["data"]["rapport.toml"])
    check(served == config, "the config map does not hold rapport.toml")
    readme = (DEPLOY / "README.md").read_text()
    for reference in sorted(set(re.findall(r"name: (rapport-(?:store|cache|peers|issuer))\b", manifests))):
        check(reference in readme, f"deploy/README.md does not say how {reference} is made")


# --- credentials -----------------------------------------------------------------------------------------------------


def unpack(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verified(token, keys):
    """The claims, if one of the keys has signed them by RS256."""
    head, claims, signature = token.strip().split(".")
    key = next(key for key in keys if key["kid"] == json.loads(unpack(head))["kid"])
    modulus, exponent = (int.from_bytes(unpack(key[part])) for part in ("n", "e"))
    opened = pow(int.from_bytes(unpack(signature)), exponent, modulus)
    digest = hashlib.sha256(f"{head}.{claims}".encode()).digest()
    check(opened.to_bytes(modulus.bit_length() // 8).endswith(digest), "compose/credentials: a signature does not hold")
    return json.loads(unpack(claims))


def credentials(config):
    folder = WORK / "deploy/compose/secrets"
    if not folder.exists():
        return
    keys = json.loads((folder / "jwks.json").read_text())["keys"]
    check(all("d" not in key for key in keys), "compose/credentials publishes its private key")
    check(len((folder / "lookup.key").read_bytes()) >= 32, "compose/credentials: the lookup key is short")
    check((folder / "issuer.pem").stat().st_mode & 0o077 == 0, "compose/credentials: others can read the issuer's key")
    check(folder.stat().st_mode & 0o077 == 0, "compose/credentials: others can look into compose/secrets")
    environment = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["identity"]["environment"]
    for token, tenant in (((folder / "peer.token").read_text(), "*"), (made("caller.token"), "acme")):
        claims = verified(token, keys)
        check(claims["iss"] == environment["RAPPORT_AUTH__ISSUER"], "compose/credentials is another issuer")
        check(claims["aud"] == config["auth"]["audience"], "compose/credentials is for another audience")
        check(claims["tenant"] == tenant and claims["sub"] and claims["exp"] > time.time(), f"claims: {claims}")
        scope = rf"({'|'.join(SERVICES)})\.(read|write|admin)"
        check(all(re.fullmatch(scope, one) for one in claims["scope"].split()), f"scopes: {claims['scope']}")


metrics()
config = configuration()
compose(config)
kubernetes(config)
credentials(config)
for message in WRONG:
    print(message, file=sys.stderr)
sys.exit(1 if WRONG else 0)
