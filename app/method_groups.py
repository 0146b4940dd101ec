"""The lists of methods: grouped by what they are for, the recommended one first."""

from collections.abc import Iterable, Mapping

from worker.contract.menu import MethodInfo, MethodKind

GROUPS: Mapping[MethodKind, Mapping[str, tuple[str, ...]]] = {
    "localization": {
        "Put a state back and see: exact, one run for each": (
            "causal_tracing",
            "activation_patching",
            "path_patching",
        ),
        "Find where a fact is looked up, or read what is known where": (
            "fact_lookup",
            "logit_lens",
            "direct_logit_attribution",
        ),
        "Estimate from gradients: fast, for many parts or their connections": (
            "attribution_patching",
            "atp_star",
            "eap_ig",
            "eap_ig_activations",
            "eap",
        ),
        "Learn which few parts are enough": ("learned_mask",),
        "Edit, and see where it holds": ("trial_edits",),
    },
    "unlearning": {
        "Train only what the mask names": (
            "localized_finetuning",
            "ft_l",
            "weight_masking",
        ),
        "Write another answer into MLPs, without training": ("memit", "rome", "alphaedit"),
        "Make an answer unlikely, and keep others": (
            "npo",
            "simnpo",
            "grad_diff",
            "idk_dpo",
            "undial",
            "rmu",
            "task_vector",
            "gradient_ascent",
        ),
        "Make a text forgotten": ("whos_harry_potter",),
        "Put finished edits together": ("stack_edits",),
    },
}
OTHERS = "Others"
"""Where methods stand that no group names: those of plugins."""


def grouped(
    methods: Iterable[MethodInfo], kind: MethodKind
) -> list[tuple[str, list[tuple[str, str]]]]:
    """The methods of a kind as (group, (name, title) of each); groups without one are left out."""
    titles = {one.name: one.title for one in methods if one.kind == kind}
    groups = dict(GROUPS.get(kind, {}))
    named = {name for names in groups.values() for name in names}
    groups[OTHERS] = tuple(name for name in titles if name not in named)
    found = [(g, [(n, titles[n]) for n in names if n in titles]) for g, names in groups.items()]
    return [(group, choices) for group, choices in found if choices]
