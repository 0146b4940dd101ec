"""The studies that come with Lethe, as specs: run them as they are, or change them first."""

from copy import deepcopy
from typing import Any

from worker.contract.base import unknown
from worker.contract.known import BUNDLED_MODEL
from worker.contract.spec import StudySpec

TRACING = {"method": "causal_tracing", "options": {"sites": ["mlp"], "samples": 4}}
PATCHING = {"method": "attribution_patching", "options": {"direction": "clean"}}
CORRUPTED = {"method": "attribution_patching", "options": {"direction": "corrupted"}}

PAPER_COMPARISON: dict[str, Any] = {
    "kind": "study",
    "model": BUNDLED_MODEL,
    "facts": {"set": "athletes", "forget": "random:32"},
    "masks": {
        "fact_lookup": {
            "title": "Fact lookup",
            "localization": {"method": "fact_lookup", "options": {"by": "probe"}},
            "suggested": True,
        },
        "causal_tracing": {"title": "Causal tracing", "localization": TRACING},
        "causal_tracing_mlps": {
            "title": "Causal tracing, MLPs",
            "localization": TRACING,
            "only": "mlp",
        },
        "attribution_patching": {"title": "Attribution patching", "localization": PATCHING},
        "attribution_patching_mlps": {
            "title": "Attribution patching, MLPs",
            "localization": PATCHING,
            "only": "mlp",
        },
        "attribution_patching_corrupted": {
            "title": "Attribution patching, corrupted run",
            "localization": CORRUPTED,
        },
        "random": {"title": "Random", "control": "random"},
        "random_mlps": {"title": "Random MLPs", "control": "random_mlps"},
        "all_mlps": {"title": "All MLPs", "control": "all_mlps"},
        "everything": {"title": "Everything", "control": "all"},
    },
    "methods": {
        "localized_finetuning": {
            "title": "Localized fine-tuning",
            "method": "localized_finetuning",
            "options": {"steps": 50, "probe_every": 25, "objective": "edit"},
            "search": {"learning_rate": [1e-3, 3e-3, 9e-3], "forget_weight": [0.5, 1.0]},
        }
    },
    "seeds": [0, 1, 2, 3, 4],
    "evaluations": ["probes", "relearning", "latent_probes"],
    "options": {
        "probes": {
            "formats": [
                "statement",
                "question",
                "choice",
                "paraphrase_held_out",
                "question_held_out",
                "choice_held_out",
            ],
            "retain_facts": 32,
        },
        "relearning": {"modes": ["lora"], "measure_every": 10},
    },
    "budget": "fact_lookup",
    "reference": "fact_lookup",
    "score": {
        "names": ["quick.edit_probability.after", "quick.retain_probability.after"],
        "scale": "log_odds",
        "search_seed": 1000,
        "searches": 5,
    },
}
"""Guo et al. 2024, table of athlete edits: the same groups at equal parameters where the paper
equalizes them (All MLPs and Everything are not), on the bundled model. Gradients of attribution
patching are the clean run's, as in the paper; one more group takes the corrupted run's, which is
nearer to what patching the clean run into it does. Every group has the same trials and widens its
grid by the same rule; a search looks only at the trained format, on 32 athletes that no seed
forgets, and every seed has a search of its own, so that the intervals hold the search's spread.
Steps as in the paper. Relearning is by LoRA alone and probes ask 32 retain facts, to spare time."""

EQUAL = {"learning_rate": 3e-3, "forget_weight": 0.5}
"""What every group is edited with where nothing is searched."""
REAL_RATES = (3e-5, 1e-4, 3e-4)
"""Where the search begins on a model of usual width: on SmolLM2-135M 2e-4 edits and 2e-3 wrecks."""
REAL_KNOWN = {"among": "vocabulary", "probability": 0.5}


def _at_equal_options() -> dict[str, Any]:
    spec = deepcopy(PAPER_COMPARISON)
    method = spec["methods"]["localized_finetuning"]
    method["options"] |= EQUAL
    del method["search"], spec["score"]
    return spec


METHODS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Localized fine-tuning, edit", "localized_finetuning", {"objective": "edit"}),
    ("Localized fine-tuning, unlearn", "localized_finetuning", {"objective": "unlearn"}),
    ("Weight masking", "weight_masking", {}),
    ("Gradient difference", "grad_diff", {}),
    ("Gradient ascent", "gradient_ascent", {}),
    ("NPO", "npo", {}),
    ("SimNPO", "simnpo", {}),
    ("IdkDPO", "idk_dpo", {}),
    ("RMU", "rmu", {}),
    ("UNDIAL", "undial", {}),
    ("ROME", "rome", {}),
    ("MEMIT", "memit", {}),
    ("AlphaEdit", "alphaedit", {}),
    ("FT-L", "ft_l", {}),
    ("Task vector", "task_vector", {}),
)
"""Title, method and options of every edit of facts."""

EVERY_METHOD: dict[str, Any] = {
    "kind": "study",
    "model": BUNDLED_MODEL,
    "facts": {"set": "athletes", "forget": "random:16"},
    "masks": {"fact_lookup": PAPER_COMPARISON["masks"]["fact_lookup"]},
    "methods": {
        "_".join([method, *map(str, options.values())]): {
            "title": title,
            "method": method,
            "options": options,
        }
        for title, method, options in METHODS
    },
    "seeds": [0],
    "evaluations": ["probes", "side_effects"],
    "options": {
        "probes": {"formats": ["statement"], "retain_facts": 64},
        "side_effects": {"sentences": 64, "facts_per_relation": 8},
    },
}
"""Every method with its defaults alone, through fact lookup's own choice: on another model than the
bundled one each trained method searches its settings first. One seed; untrained retain facts and
ordinary text say what each edit harmed."""

STUDIES: dict[str, dict[str, Any]] = {
    "paper_comparison": PAPER_COMPARISON,
    "paper_comparison_equal_options": _at_equal_options(),
    "every_method": EVERY_METHOD,
}


def built_in_study(name: str, model: str = "", facts: str = "") -> StudySpec:
    """A built-in study's spec, on its own model and facts or on others.

    Another model's rates begin where a model of usual width can bear them, its ordinary text is
    looked at too, and it forgets and retains only what it knows, since nobody trained it on the
    facts. Raises UserError that names the nearest study.
    """
    if name not in STUDIES:
        raise unknown("built-in study", name, list(STUDIES), "study")
    spec = deepcopy(STUDIES[name])
    spec["facts"]["set"] = facts or spec["facts"]["set"]
    if model and model != spec["model"]:
        spec["model"] = model
        spec["facts"] |= {"forget": "random:16", "known": REAL_KNOWN}
        spec["evaluations"] = list(dict.fromkeys([*spec["evaluations"], "side_effects"]))
        for method in spec["methods"].values():
            if "search" in method:
                method["search"]["learning_rate"] = REAL_RATES
            elif "learning_rate" in method["options"]:
                method["options"]["learning_rate"] = REAL_RATES[-1]
    return StudySpec.model_validate(spec)
