#!/usr/bin/env bash
# `buf curl` through server reflection: lists, describes, calls, streams.
#
#   buf.sh BUF ADDRESS WORK
set -uo pipefail
buf=$1 url=http://$2 work=$3
failed=0

curl() { "$buf" curl --protocol grpc --http2-prior-knowledge --emit-defaults -H 'x-rapport-tenant: buf' "$@" 2>"$work/error"; }
check() { # what, pattern that the answer must match, answer
    if grep -Eq -- "$2" <<<"$3"; then
        echo "ok buf: $1"
    else
        failed=$((failed + 1))
        echo "not ok buf: $1: no /$2/ in: $3 $(head -c 2000 "$work/error")"
    fi
}
refuses() { # what, pattern of the error, arguments of curl
    local what=$1 pattern=$2
    shift 2
    if curl "$@" >"$work/answer"; then
        failed=$((failed + 1))
        echo "not ok buf: $what: answered $(cat "$work/answer")"
    else
        check "$what" "$pattern" "$(cat "$work/error")"
    fi
}

for version in v1 v1alpha; do
    check "reflection $version lists services" 'rapport\.identity\.v1\.IdentityService' \
        "$(curl --reflect-protocol "grpc-$version" --list-services "$url")"
done
check "methods are listed" 'IdentityService/Identify' "$(curl --list-methods "$url")"

identity=$url/rapport.identity.v1.IdentityService
interaction=$url/rapport.interaction.v1.InteractionService
segmentation=$url/rapport.segmentation.v1.SegmentationService

answer=$(curl -d '{"source":"till","identifiers":[{"identifier":{"namespace":"email","value":"Bo@Example.org"}}],"traits":{"country":"BE"}}' "$identity/Identify")
check "Identify" '"customerId": *"cust_' "$answer"
customer=$(grep -Eo 'cust_[0-9a-z]{26}' <<<"$answer" | head -n 1)
check "GetCustomer by id" "$customer" "$(curl -d "{\"customer\":{\"customerId\":\"$customer\"}}" "$identity/GetCustomer")"
check "GetCustomer by identifier, normalised" "$customer" \
    "$(curl -d '{"customer":{"identifier":{"namespace":"email","value":"bo@example.org"}}}' "$identity/GetCustomer")"
check "ListCustomers" "$customer" "$(curl -d '{}' "$identity/ListCustomers")"

answer=$(printf '{"interaction":{"customer":{"customerId":"%s"},"type":"visit"},"correlation":"%s"}\n' \
    "$customer" one "$customer" two "$customer" three | curl -d @- "$interaction/RecordInteractions")
check "a stream of three" '"three"' "$answer"
check "each is recorded" '^3$' "$(grep -c '"interactionId": *"int_' <<<"$answer")"
check "ListInteractions" '"visit"' "$(curl -d "{\"customer\":{\"customerId\":\"$customer\"}}" "$interaction/ListInteractions")"

check "CreateSegment" '"seg_' \
    "$(curl -d '{"segment":{"name":"belgians","definition":"customer.country == \"BE\""}}' "$segmentation/CreateSegment")"
for _ in $(seq 50); do
    answer=$(curl -d '{"segment":"belgians"}' "$segmentation/ListMembers")
    grep -q "$customer" <<<"$answer" && break
done
check "ListMembers streams" "$customer" "$answer"

refuses "a missing field" 'invalid_argument' -d '{}' "$identity/GetCustomer"
refuses "nobody" 'not_found' -d '{"customer":{"customerId":"cust_00000000000000000000000000"}}' "$identity/GetCustomer"
refuses "what is not served yet" 'unimplemented' -d '{}' "$identity/EraseCustomer"

echo "ok buf: the end"
[ "$failed" -eq 0 ]
