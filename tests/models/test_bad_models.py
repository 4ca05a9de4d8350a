"""What can be wrong with models and data files: each fault has its own line, and leaves nothing behind."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file
from standins import EOS, train_bpe, train_sentencepiece, write_checkpoint
from tokenizers import processors
from transformers import AutoTokenizer, MistralConfig

from circuit_distillation.models import hub
from circuit_distillation.models.loaded_family import check_family, check_instruct
from circuit_distillation.models.source import ModelSource
from circuit_distillation.tasks.corpora import CORPORA, CorpusSettings, read_corpus

COMMIT = "4e20de362430cd3b72f300e6b0f18e50e7166e08"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Path]:
    """Two whole checkpoints with one tokenizer."""
    folder, tokenizer = tmp_path_factory.mktemp("whole"), train_bpe(400)
    return {role: write_checkpoint(folder / role, role, tokenizer) for role in ("small", "large")}


@pytest.fixture
def folders(whole, tmp_path) -> dict[str, Path]:
    """Copies to spoil."""
    return {role: Path(shutil.copytree(path, tmp_path / role)) for role, path in whole.items()}


def sources(folders: dict[str, Path]) -> dict[str, ModelSource]:
    return {role: ModelSource(path=str(path)) for role, path in folders.items()}


def edit(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def restore(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change what the file of weights holds."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def without_tensor(folder: Path) -> None:
    restore(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))


def biased(folder: Path) -> None:
    """As a Qwen2 that is called llama."""
    biases = {f"model.layers.{layer}.self_attn.k_proj.bias": torch.ones(24) for layer in range(4)}
    restore(folder, lambda tensors: tensors.update(biases))


def cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:-n_bytes])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def shard_missing(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def other_vocabulary(folder: Path) -> None:
    train_bpe(380).save_pretrained(folder)


def ends_texts(folder: Path) -> None:
    """A tokenizer that appends its end of sequence."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, tokenizer.eos_token_id)]
    )
    tokenizer.save_pretrained(folder)


def other_class(folder: Path) -> None:
    """As the hub has them: a class of transformers that has rules of its own over a tokenizer.json."""
    edit(folder / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "there is no folder"),
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "broken config": (lambda f: cut(f / "config.json", 9), "config.json is not JSON"),
    "list as config": (lambda f: (f / "config.json").write_text("[]"), "must hold one JSON object"),
    "another architecture": (
        lambda f: edit(f / "config.json", model_type="gpt2"),
        "model type 'gpt2', not one of",
    ),
    "code of its own": (
        lambda f: edit(f / "config.json", auto_map={"AutoModel": "m.M"}),
        "run code of its own",
    ),
    "quantised": (lambda f: edit(f / "config.json", quantization_config={"bits": 4}), "is quantised"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "broken tokenizer": (lambda f: cut(f / "tokenizer.json", 500), "the tokenizer in .* is broken"),
    "another tokenizer": (other_vocabulary, "the tokenizers of small and large differ"),
    "a tokenizer that ends texts": (
        ends_texts,
        rf"puts {re.escape(EOS)} after every text, so that no answer can follow a prompt: take it out of",
    ),
    "a class that cuts otherwise": (
        other_class,
        'GPT2Tokenizer cuts text otherwise .*: write "tokenizer_class"',
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"has no weights \(model.safetensors\)"),
    "pickled weights": (pickled, "has pickled weights only: safetensors are needed"),
    "half a file": (lambda f: cut(f / "model.safetensors", 100), "it is half written"),
    "a few bytes": (lambda f: (f / "model.safetensors").write_bytes(b"\x99" * 9), "is cut off"),
    "no safetensors": (
        lambda f: (f / "model.safetensors").write_bytes((4).to_bytes(8, "little") + b"abcd"),
        "is no safetensors file",
    ),
    "a weight missing": (without_tensor, "lacks 1 weights, model.layers.1.mlp.up_proj.weight first"),
    "biases that the configuration does not have": (
        biased,
        "holds 4 weights that its config.json has no place for, model.layers.0.self_attn.k_proj.bias first",
    ),
    "more layers than the configuration": (
        lambda f: edit(f / "config.json", num_hidden_layers=3),
        "has no place for, model.layers.3.input_layernorm.weight first",
    ),
    "an unembedding of its own that is tied": (
        lambda f: edit(f / "config.json", tie_word_embeddings=True),
        'holds another one: write "tie_word_embeddings": false',
    ),
    "a shard missing": (shard_missing, "lacks model-00002-of-00002.safetensors"),
    "another shape": (
        lambda f: edit(f / "config.json", intermediate_size=8),
        "has shape .* its config.json says",
    ),
    "impossible shape": (
        lambda f: edit(f / "config.json", num_attention_heads=0),
        "config.json makes no model",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_spoiled_checkpoint_is_named_with_its_fault(folders, name):
    spoil, message = FAULTS[name]
    spoil(folders["large"])
    before = contents(folders["small"].parent)
    with pytest.raises(ValueError, match=message) as caught:
        check_family(sources(folders))
    assert "\n" not in str(caught.value)
    assert contents(folders["small"].parent) == before


def test_an_instruct_model_of_another_tokenizer_is_refused(folders, whole):
    other_vocabulary(folders["small"])
    other_vocabulary(folders["large"])
    with pytest.raises(ValueError, match="the tokenizers of large and instruct.large differ"):
        check_instruct(sources(folders), check_family(sources(whole)))
    shutil.rmtree(folders["large"])
    with pytest.raises(ValueError, match="family.instruct.large: there is no folder"):
        check_instruct(sources(folders), whole)


def test_whole_checkpoints_pass(folders):
    assert check_family(sources(folders)) == folders


def test_weights_that_are_stored_for_nothing_but_change_nothing_pass(folders):
    """Old checkpoints hold the frequencies of RoPE, and some a copy of tied embeddings."""
    embeddings, spare = "model.embed_tokens.weight", "model.layers.0.self_attn.rotary_emb.inv_freq"
    restore(folders["small"], lambda x: x.update({"lm_head.weight": x[embeddings].clone()}))
    restore(folders["large"], lambda x: x.update({spare: torch.ones(6)}))
    assert check_family(sources(folders)) == folders


def test_the_remedies_for_tokenizers_help(folders):
    for folder in folders.values():
        edit(folder / "tokenizer_config.json", add_eos_token=True)
        ends_texts(folder)
        other_class(folder)
        edit(folder / "tokenizer_config.json", tokenizer_class="TokenizersBackend", add_eos_token=False)
        edit(folder / "tokenizer.json", post_processor=None)
    assert check_family(sources(folders)) == folders


def test_a_tokenizer_of_sentencepiece_form_passes_under_the_class_that_models_name(tmp_path):
    tokenizer = train_sentencepiece()
    folders = {
        role: write_checkpoint(tmp_path / role, role, tokenizer, form=MistralConfig)
        for role in ("small", "large")
    }
    for folder in folders.values():
        edit(folder / "tokenizer_config.json", tokenizer_class="LlamaTokenizer")
    assert check_family(sources(folders)) == folders


def test_a_tokenizer_that_is_larger_than_the_embeddings_is_refused(folders):
    for folder in folders.values():
        train_bpe(600).save_pretrained(folder)
    with pytest.raises(ValueError, match="600 tokens, the model 408 embeddings: they do not belong together"):
        check_family(sources(folders))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device_map": "cuda:7"}, "family.models.small: device_map 'cuda:7': this machine has no GPU"),
        ({"attention": "flash_attention_2"}, "attention flash_attention_2 needs flash-attn and a GPU"),
    ],
)
def test_a_source_that_this_machine_cannot_use_is_refused(folders, change, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    spoiled = sources(folders)
    spoiled["small"] = spoiled["small"].model_copy(update=change)
    with pytest.raises(ValueError, match=message):
        check_family(spoiled)


def answer(status: int) -> SimpleNamespace:
    """Enough of a response of the hub for its error classes."""
    request = SimpleNamespace(method="GET", url="https://huggingface.co")
    return SimpleNamespace(status_code=status, headers={}, request=request, text="")


HUB: dict[str, tuple[Exception, str | None, str]] = {
    "gated, no token": (
        errors.GatedRepoError("gated", response=answer(403)),
        None,
        "is gated and there is no token: run `hf auth login`",
    ),
    "gated, token": (
        errors.GatedRepoError("gated", response=answer(403)),
        "hf_x",
        "is gated: ask for access at https://huggingface.co/meta-llama/Llama-3.2-1B",
    ),
    "no repository": (
        errors.RepositoryNotFoundError("absent", response=answer(404)),
        None,
        "is not on the hub",
    ),
    "no revision": (
        errors.RevisionNotFoundError("absent", response=answer(404)),
        None,
        f"has no revision {COMMIT}",
    ),
    "refused token": (errors.HfHubHTTPError("no", response=answer(401)), "hf_x", "refuses .* to this token"),
    "server error": (errors.HfHubHTTPError("no", response=answer(503)), None, "answered 503"),
    "offline": (errors.OfflineModeIsEnabled("offline"), None, "not in the local cache and the hub cannot be"),
    "no network": (ConnectionError("refused"), None, "go online once, or give the path of a folder"),
    "disk full": (OSError(errno.ENOSPC, "No space left on device"), None, "the disk is full while"),
}


@pytest.mark.parametrize("name", HUB)
def test_a_hub_that_fails_is_one_line_with_the_remedy(monkeypatch, name):
    error, token, message = HUB[name]

    def fail(*_, **options):
        raise errors.LocalEntryNotFoundError("none") if options.get("local_files_only") else error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
    source = ModelSource(hub_id="meta-llama/Llama-3.2-1B", revision=COMMIT)
    with pytest.raises(ValueError, match=message) as caught:
        source.fetch()
    assert "\n" not in str(caught.value) and "hf_x" not in str(caught.value)


def test_a_download_that_does_not_fit_is_not_begun(monkeypatch):
    begun = []

    def download(*_, dry_run: bool = False, **__):
        begun.append(not dry_run)
        return [SimpleNamespace(file_size=10**18, will_download=True)]

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ValueError, match="needs 1000000000.0 GB in"):
        hub.download("meta-llama/Llama-3.1-8B", COMMIT, ["*.safetensors"])
    assert begun == [False]


def test_without_a_network_the_cache_is_used(monkeypatch, whole):
    def only_cached(*_, **options):
        if not options.get("local_files_only"):
            raise ConnectionError
        return str(whole["small"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", only_cached)
    assert ModelSource(hub_id="a/b", revision=COMMIT).fetch() == whole["small"]


ROW = {"instruction": "Add 2 and 3", "input": "2 + 3", "output": "2 + 3 = 5", "answer": "5"}
FILES: dict[str, tuple[str, str, str]] = {
    "no file": ("entity", "", "there is no file"),
    "not JSON": ("entity", "[{", "is not JSON"),
    "no rows": ("tom", "[]", "holds no rows"),
    "a row without output": (
        "tom",
        json.dumps([{"instruction": "x"}]),
        "row 0 of .* lacks a text under output",
    ),
    "a number as output": ("tom", json.dumps([ROW | {"output": 3}]), "row 0 of .* lacks a text under output"),
    "a broken line": ("entity", json.dumps(ROW) + "\n{'a'}", "row 1 of .* is not JSON"),
    "no arithmetic": (
        "entity",
        json.dumps([ROW | {"input": "a poem", "output": "Roses"}]),
        "holds no arithmetic",
    ),
    "too few rows": ("entity", json.dumps([ROW]), "1 contents, 10 are to be held out: lower n_heldout"),
}


def of_a_file(task: str, path: Path) -> CorpusSettings:
    """All of a file but ten contents."""
    where = {"source": {"path": str(path)}}
    return CORPORA[task](n_train=None, n_heldout=10, max_digits=17, kinds=None, **where)


@pytest.mark.parametrize("name", FILES)
def test_a_broken_data_file_is_named_with_its_row(tmp_path, name):
    task, text, message = FILES[name]
    path = tmp_path / "data.json"
    if text:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_corpus(of_a_file(task, path), path, seed=0)
    assert contents(tmp_path) == ({str(path): text.encode()} if text else {})


def test_half_a_parquet_file_is_named(tmp_path):
    (tmp_path / "train.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ValueError, match="no Parquet file, or half of one"):
        read_corpus(of_a_file("tom", tmp_path / "train.parquet"), tmp_path / "train.parquet", seed=0)
