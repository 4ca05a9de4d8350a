"""All pipelines by name; the default one is the whole paper for one task."""

from __future__ import annotations

from kedro.pipeline import Pipeline

from circuit_distillation import grid
from circuit_distillation.pipelines.base_models.pipeline import create_pipeline as base_models
from circuit_distillation.pipelines.bundle.pipeline import create_pipeline as bundle
from circuit_distillation.pipelines.circuit_discovery.pipeline import create_pipeline as circuit_discovery
from circuit_distillation.pipelines.compare.pipeline import create_pipeline as compare
from circuit_distillation.pipelines.data_generation.pipeline import create_pipeline as data_generation
from circuit_distillation.pipelines.distillation.pipeline import create_pipeline as distillation
from circuit_distillation.pipelines.head_mapping.pipeline import create_pipeline as head_mapping
from circuit_distillation.pipelines.heads.pipeline import create_pipeline as heads
from circuit_distillation.pipelines.held_out.pipeline import create_pipeline as held_out
from circuit_distillation.pipelines.plan.pipeline import create_pipeline as plan
from circuit_distillation.pipelines.pretraining.pipeline import create_pipeline as pretraining
from circuit_distillation.pipelines.regimes.pipeline import create_runs as regimes
from circuit_distillation.pipelines.regimes.pipeline import create_search as regime_search
from circuit_distillation.pipelines.regimes.pipeline import create_tables as regime_tables
from circuit_distillation.pipelines.reporting.pipeline import create_pipeline as reporting
from circuit_distillation.pipelines.search.pipeline import create_search, create_sweeps
from circuit_distillation.pipelines.study.pipeline import create_run, create_study
from circuit_distillation.pipelines.study.transfer import create_transfer
from circuit_distillation.pipelines.teacher_tuning.pipeline import create_pipeline as teacher_tuning


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines in running order. Listed by hand: Kedro's discovery imports only the one asked for."""
    loaded = grid.loaded()
    bases = {"base_models": base_models()} if loaded else {"pretraining": pretraining()}
    pipelines = {
        **(bases if loaded else {}),  # prompts for loaded models are made to fit their tokenizer
        "data_generation": data_generation(),
        **bases,
        "teacher_tuning": teacher_tuning(),
        "circuit_discovery": circuit_discovery(),
        "head_mapping": head_mapping(),
        "distillation": distillation(),
        "reporting": reporting(),
    }
    whole_paper = sum(pipelines.values(), Pipeline([]))
    names = (name for name in pipelines if name not in ("distillation", "reporting"))
    family = sum((pipelines[name] for name in names), Pipeline([]))
    of_the_study = {
        "study_run": create_run(family, pipelines["distillation"]),
        "study": create_study(),
        "transfer": create_transfer(),
        "search": create_search(),
        "sweeps": create_sweeps(),
        "regime_search": regime_search(family),
        "regimes": regimes(family),
        "regime_tables": regime_tables(),
        "compare": compare(),
        "heads": heads(),
        "bundle": bundle(),
    }
    of_loaded = {"plan": plan(), "held_out": held_out()} if loaded else {}
    return {**pipelines, **of_the_study, **of_loaded, "__default__": whole_paper}
