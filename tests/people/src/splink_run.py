"""Splink on the same file, with comparable comparisons and blocking; prints CPU seconds."""

import resource
import sys

import pandas as pd
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


people = pd.read_csv(sys.argv[1], dtype=str).replace({"": None})
people["year"] = people["dob"].str[:4]
people["day"] = people["dob"].str[5:]
start = cpu()
rules = [
    block_on("email"),
    block_on("phone"),
    block_on("dob"),
    block_on("given", "family"),
    block_on("street", "locality"),
    block_on("family", "year"),
    block_on("family", "day"),
    block_on("given", "postcode"),
    block_on("family", "postcode"),
    block_on("family", "locality", "substr(given, 1, 1)"),
]
settings = SettingsCreator(
    link_type="dedupe_only",
    comparisons=[
        cl.NameComparison("given").configure(term_frequency_adjustments=True),
        cl.NameComparison("family").configure(term_frequency_adjustments=True),
        cl.DateOfBirthComparison("dob", input_is_string=True),
        cl.JaroWinklerAtThresholds("street", [0.9]).configure(term_frequency_adjustments=True),
        cl.ExactMatch("locality").configure(term_frequency_adjustments=True),
        cl.ExactMatch("postcode").configure(term_frequency_adjustments=True),
        cl.EmailComparison("email"),
        cl.LevenshteinAtThresholds("phone", [1]),
    ],
    blocking_rules_to_generate_predictions=rules,
)
try:
    linker = Linker(people, settings, DuckDBAPI())
except TypeError:
    api = DuckDBAPI()
    linker = Linker(api.register(people), settings)
linker.training.estimate_probability_two_random_records_match([block_on("given", "family", "dob")], recall=0.7)
linker.training.estimate_u_using_random_sampling(max_pairs=1e6)
linker.training.estimate_parameters_using_expectation_maximisation(block_on("dob"))
linker.training.estimate_parameters_using_expectation_maximisation(block_on("given", "family"))
trained = cpu()
predictions = linker.inference.predict(threshold_match_weight=-100)
count = predictions.as_duckdbpyrelation().count("*").fetchall()[0][0]
scored = cpu()
linker.clustering.cluster_pairwise_predictions_at_threshold(predictions, threshold_match_probability=0.95)
done = cpu()
print("pairs", count)
print("score", scored - trained)
print("total", done - start)
print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
