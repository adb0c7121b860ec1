"""The server against the client that most programs use: the `openai` package."""

import os
import pathlib
import subprocess
import threading
import urllib.request

import openai
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
OCTAVO = os.environ.get("OCTAVO", str(ROOT / "build/release/octavo"))
KEY = "a-key-for-the-tests"
PROMPT = "The capital of France is"
CHAT = [{"role": "user", "content": "Name three primary colours."}]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """An INT8 artifact: OCTAVO_MODEL, or one made of the demo's model."""
    if "OCTAVO_MODEL" in os.environ:
        return os.environ["OCTAVO_MODEL"]
    folder = tmp_path_factory.mktemp("openai")
    gguf = next((ROOT / "build/demo").glob("*.gguf"))
    subprocess.run([OCTAVO, "pull", gguf, "--out", folder / "base"], check=True)
    subprocess.run([OCTAVO, "quantize", folder / "base", "--scheme", "w8a16", "--out", folder / "int8"], check=True)
    return str(folder / "int8")


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    key_file = tmp_path_factory.mktemp("key") / "key"
    key_file.write_text(KEY + "\n")
    command = [OCTAVO, "serve", model, "--port", "0", "--api-key-file", str(key_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert "http://" in line, f"the server did not start: {line!r}"
            yield "http://" + line.split("http://")[1].strip()
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=server + "/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def name(client):
    models = client.models.list().data
    assert len(models) == 1
    return models[0].id


def test_completion(client, name):
    answer = client.completions.create(model=name, prompt=PROMPT, max_tokens=8, temperature=0)
    assert "Paris" in answer.choices[0].text
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8


def test_streamed_completion_is_the_whole_one(client, name):
    asked = dict(model=name, prompt=PROMPT, max_tokens=40, temperature=0)
    whole = client.completions.create(**asked)
    chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == whole.choices[0].text
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


def test_chat_whole_and_streamed(client, name):
    asked = dict(model=name, messages=CHAT, max_tokens=40, temperature=0)
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].message.role == "assistant"
    assert whole.choices[0].message.content
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_stop_string_and_seed(client, name):
    text = client.completions.create(model=name, prompt="1, 2, 3, 4,", max_tokens=40, temperature=0, stop=[" 7"])
    assert text.choices[0].finish_reason == "stop"
    assert " 7" not in text.choices[0].text and " 6" in text.choices[0].text
    sampled = [client.completions.create(model=name, prompt="Once", max_tokens=20, seed=seed) for seed in (1, 1, 2)]
    texts = [s.choices[0].text for s in sampled]
    assert texts[0] == texts[1] != texts[2]


def test_logprobs(client, name):
    legacy = client.completions.create(model=name, prompt=PROMPT, max_tokens=5, temperature=0, logprobs=1)
    logprobs = legacy.choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == 5
    for token, value, top in zip(logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs):
        assert value <= 0 and top == {token: value}
    chat = client.chat.completions.create(model=name, messages=CHAT, max_tokens=5, temperature=0, logprobs=True)
    content = chat.choices[0].logprobs.content
    assert "".join(t.token for t in content) == chat.choices[0].message.content


def test_prompts_as_token_ids_and_lists(client, name):
    answer = client.completions.create(model=name, prompt=[[504, 3575], [504, 3575]], max_tokens=5, temperature=0)
    assert [c.index for c in answer.choices] == [0, 1]
    assert answer.choices[0].text == answer.choices[1].text
    assert answer.usage.prompt_tokens == 4


@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_ones_that_clients_know(client, name, stream):
    with pytest.raises(openai.BadRequestError) as too_long:
        client.completions.create(model=name, prompt="word " * 20_000, stream=stream)
    assert too_long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model=name, messages=CHAT, temperature=3, stream=stream)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=name, prompt="x", echo=True, stream=stream)
    assert refused.value.param == "echo"
    with pytest.raises(openai.NotFoundError) as unknown:
        client.completions.create(model="gpt-4", prompt="x", stream=stream)
    assert unknown.value.code == "model_not_found"


def test_key_is_needed_everywhere_but_for_health(server):
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=server + "/v1", api_key="wrong", max_retries=0).models.list()
    assert urllib.request.urlopen(server + "/health").status == 200


def test_many_at_once_and_one_that_leaves(client, name):
    alone = client.completions.create(model=name, prompt=PROMPT, max_tokens=16, temperature=0).choices[0].text
    texts = [None] * 6

    def ask(i):
        texts[i] = client.completions.create(model=name, prompt=PROMPT, max_tokens=16, temperature=0).choices[0].text

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(texts))]
    with client.completions.create(model=name, prompt="Once upon a time", max_tokens=500, stream=True) as leaver:
        for thread in threads:
            thread.start()
        next(iter(leaver))
    for thread in threads:
        thread.join()
    assert texts == [alone] * len(texts)
