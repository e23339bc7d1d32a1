"""What is fetched of a repository of models, and what is refused."""

import fnmatch

import pytest

from fhecost.errors import UsageError
from fhecost.gpt2.model import fetch_model

FILES = {
    **dict.fromkeys(("config.json", "tokenizer.json", "tokenizer_config.json"), True),
    **dict.fromkeys(("model.safetensors", "model-00001-of-00002.safetensors"), True),
    **dict.fromkeys(("model.safetensors.index.json", "vocab.json", "merges.txt"), True),
    **dict.fromkeys(("spiece.model", "tokenizer.model", "sentencepiece.bpe.model"), True),
    **dict.fromkeys(("pytorch_model.bin", "tf_model.h5", "onnx/config.json"), False),
    **dict.fromkeys(("onnx/model.safetensors", "rust_model.ot"), False),
}
"""Files of repositories, and whether they are fetched."""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A hub with one repository of these files, no network needed."""

    def publish(*names):
        folder = tmp_path / "snapshot"
        folder.mkdir()

        def snapshot_download(name, allow_patterns, ignore_patterns):
            for each in names:
                wanted = any(fnmatch.fnmatch(each, pattern) for pattern in allow_patterns)
                if wanted and not any(fnmatch.fnmatch(each, one) for one in ignore_patterns):
                    (folder / each).parent.mkdir(exist_ok=True)
                    (folder / each).write_bytes(b"{}")
            return str(folder)

        monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
        monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *_: list(names))
        return folder

    return publish


def test_what_a_model_needs_is_fetched_and_no_more(repository):
    folder = repository(*FILES)
    assert fetch_model("someone/something") == folder
    fetched = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert fetched == {name for name, wanted in FILES.items() if wanted}


def test_a_repository_of_a_pickle_is_refused_by_its_name(repository):
    repository("config.json", "tokenizer.json", "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"someone/old: pytorch_model\.bin: a pickle"):
        fetch_model("someone/old")
