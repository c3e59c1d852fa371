#!/usr/bin/env python3
"""Makes the four files beside it from dunnhumby's "The Complete Journey" (see ORIGIN.md).

    prepare.py FOLDER    the folder with the five original files, gzipped CSV

What the demo needs and no more: each line of a basket carries its department instead of a product, and is summed over
department. Names and values stay the publisher's; the output is the same for the same input.
"""

import collections
import csv
import gzip
import io
import pathlib
import sys

source = pathlib.Path(sys.argv[1])
target = pathlib.Path(__file__).parent


def rows(name):
    with gzip.open(source / f"{name}.csv.gz", "rt", newline="") as file:
        yield from csv.DictReader(file)


def write(name, header, lines):
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(header)
    out.writerows(lines)
    with open(target / f"{name}.csv.gz", "wb") as file:
        # No time stamp in the header: the same bytes for the same input.
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=9, mtime=0, filename="") as packed:
            packed.write(text.getvalue().encode())


department = {r["product_id"]: r["department"].lower().replace(" ", "-") for r in rows("products")}

baskets = {}
lines = collections.defaultdict(lambda: collections.defaultdict(float))
coupons = collections.defaultdict(float)
for r in rows("transactions_sample"):
    key = r["basket_id"]
    baskets[key] = (r["transaction_timestamp"], r["household_id"], r["store_id"])
    lines[key][department.get(r["product_id"], "")] += float(r["sales_value"])
    coupons[key] += float(r["coupon_disc"]) + float(r["coupon_match_disc"])

write(
    "baskets",
    ["at", "household_id", "basket_id", "store_id", "value", "coupon_discount", "departments"],
    (
        [at, household, key, store, f"{sum(lines[key].values()):.2f}", f"{coupons[key]:.2f}",
         "|".join(sorted(d for d in lines[key] if d))]
        for key, (at, household, store) in sorted(baskets.items(), key=lambda item: (item[1], item[0]))
    ),
)
write(
    "households",
    ["household_id", "age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count"],
    sorted((list(r.values()) for r in rows("demographics")), key=lambda r: int(r[0])),
)
write("campaigns", ["campaign_id", "household_id"], ([r["campaign_id"], r["household_id"]] for r in rows("campaigns")))
write(
    "redemptions",
    ["date", "household_id", "campaign_id", "coupon_upc"],
    sorted([r["redemption_date"], r["household_id"], r["campaign_id"], r["coupon_upc"]] for r in rows("coupon_redemptions")),
)
