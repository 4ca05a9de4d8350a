"""Find circuits, score heads, measure the effect of ablating each head."""

from __future__ import annotations

from circuit_distillation.parameters import CircuitDiscovery
from circuit_distillation.pipelines.circuit_discovery.tracking import track_cost


def discover_circuit(
    checkpoint,
    discovery,
    corrupted,
    means,
    unfinished,
    parameters: CircuitDiscovery,
    task: str,
    role: dict,
    arm: str,
) -> tuple:
    """Head scores by stage, the circuit, and scores by prompt; path patching (entity) or mean ablation."""
    from circuit_distillation.circuits.search import find_circuit
    from circuit_distillation.models.loading import model_hash

    prompts, settings = (discovery, corrupted, means), getattr(parameters, task)
    options = {"n_processes": parameters.processes, "work_folder": unfinished, "progress": True}
    scores, circuit, by_prompt = find_circuit(checkpoint, *prompts, settings, **options)
    track_cost("discovery", role, arm, circuit["cost"])
    circuit |= {"task": task, "role": role["name"], "arm": arm, "model_hash": model_hash(checkpoint.model)}
    return scores, circuit, by_prompt


def measure_stability(scores, circuit: dict, seed: int) -> tuple:
    """How often each head enters the circuit of other prompts, limits and templates, and their overlap."""
    from circuit_distillation.circuits.stability import stability

    return stability(scores, circuit, seed=seed)


def measure_ablation(checkpoint, mapping, means, processes: int, role: dict, arm: str) -> tuple:
    """Effect of ablating each head on every mapping prompt, and every head's output at the last token."""
    from circuit_distillation.circuits.effects import ablation_frames

    effects, features = ablation_frames(checkpoint, mapping, means, n_processes=processes, progress=True)
    track_cost("ablation", role, arm, effects.attrs["cost"])
    return effects, features


def profile_attention(checkpoint, mapping) -> dict:
    """Where each head looks on average, token by token, for each template of the mapping prompts."""
    from circuit_distillation.circuits.attention_profiles import attention_profiles

    return attention_profiles(checkpoint, mapping)


def evaluate_circuit(checkpoint, circuit: dict, test, means, n_random: int, seed: int):
    """Test predictions of the full model, the discovered circuit and random circuits of its size."""
    from circuit_distillation.circuits.predictions import prediction_frame
    from circuit_distillation.models.loading import check_same_model

    check_same_model(checkpoint.model, circuit["model_hash"], "the circuit", "circuit_discovery")
    heads = [tuple(head) for head in circuit["heads"]]
    return prediction_frame(checkpoint, test, means, heads, n_random, seed, progress=True)
