"""Find circuits, score heads, measure what each head's ablation costs."""

from __future__ import annotations

from circuit_distillation.parameters import CircuitDiscovery, Evaluation


def discover_circuit(
    checkpoint, discovery, corrupted, means, parameters: CircuitDiscovery, task: str, role: dict, arm: str
) -> tuple:
    """Head scores by stage and the circuit, by path patching (entity tracking) or mean ablation (beliefs)."""
    from circuit_distillation.circuits.search import find_circuit
    from circuit_distillation.models.loading import model_hash
    from circuit_distillation.tasks.example import from_frame

    settings = getattr(parameters, task).model_dump()
    prompts = (from_frame(split) for split in (discovery, corrupted, means))
    scores, circuit = find_circuit(checkpoint, *prompts, settings, n_processes=parameters.processes)
    circuit |= {"task": task, "role": role["name"], "arm": arm, "model_hash": model_hash(checkpoint.model)}
    return scores, circuit


def measure_ablation(checkpoint, mapping, means, parameters: CircuitDiscovery) -> tuple:
    """Effect of ablating each head on every mapping prompt, and every head's output at the last token."""
    from circuit_distillation.circuits.effects import ablation_frames
    from circuit_distillation.tasks.example import from_frame

    prompts = (from_frame(split) for split in (mapping, means))
    return ablation_frames(checkpoint, *prompts, n_processes=parameters.processes)


def evaluate_circuit(checkpoint, circuit: dict, test, means, parameters: Evaluation, seed: int):
    """Test predictions of the full model, the discovered circuit and random circuits of its size."""
    from circuit_distillation.circuits.predictions import prediction_frame
    from circuit_distillation.tasks.example import from_frame

    heads = [tuple(head) for head in circuit["heads"]]
    return prediction_frame(
        checkpoint, from_frame(test), from_frame(means), heads, parameters.n_random_circuits, seed
    )
