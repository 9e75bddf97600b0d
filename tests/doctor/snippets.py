"""One call with each client, as short as an application would write it, with no address in it."""

from __future__ import annotations

from dataclasses import dataclass

HI = '[{"role": "user", "content": "hi"}]'
KEYS = {
    "OPENAI_API_KEY": "none",
    "ANTHROPIC_API_KEY": "none",
    "GEMINI_API_KEY": "none",
    "GOOGLE_API_KEY": "none",
    "GOOGLE_GENERATIVE_AI_API_KEY": "none",
    "GROQ_API_KEY": "none",
    "MISTRAL_API_KEY": "none",
    "CO_API_KEY": "none",
    "AZURE_OPENAI_API_KEY": "none",
    "OPENAI_API_VERSION": "2024-10-21",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_DEFAULT_REGION": "us-east-1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "AI_SDK_LOG_WARNINGS": "false",
}


@dataclass(frozen=True)
class Snippet:
    client: str  # a client of sidecar.doctor.clients
    provider: str
    code: str
    language: str = "python"


def node(client: str, provider: str, code: str) -> Snippet:
    return Snippet(client, provider, code, "node")


def vercel(vendor: str, name: str, model: str) -> str:
    return (
        f"import {{generateText}} from 'ai'; import {{{name}}} from '@ai-sdk/{vendor}'; "
        f"await generateText({{model: {name}('{model}'), prompt: 'hi', maxRetries: 0}})"
    )


SNIPPETS = (
    Snippet(
        "openai",
        "openai",
        f"import openai; openai.OpenAI(max_retries=0).chat.completions.create(model='m', messages={HI})",
    ),
    Snippet(
        "openai",
        "azure",
        f"import openai; openai.AzureOpenAI(max_retries=0).chat.completions.create(model='m', messages={HI})",
    ),
    Snippet(
        "anthropic",
        "anthropic",
        "import anthropic; anthropic.Anthropic(max_retries=0)"
        f".messages.create(model='m', max_tokens=9, messages={HI})",
    ),
    Snippet(
        "google-genai",
        "gemini",
        "from google import genai; c = genai.Client(); c.models.generate_content(model='m', contents='hi')",
    ),
    Snippet(
        "litellm",
        "openai",
        f"import litellm; litellm.completion(model='openai/m', messages={HI}, num_retries=0)",
    ),
    Snippet(
        "litellm",
        "anthropic",
        f"import litellm; litellm.completion(model='anthropic/m', messages={HI}, num_retries=0)",
    ),
    Snippet(
        "litellm",
        "gemini",
        f"import litellm; litellm.completion(model='gemini/m', messages={HI}, num_retries=0)",
    ),
    Snippet(
        "langchain-openai",
        "openai",
        "from langchain_openai import ChatOpenAI; ChatOpenAI(model='m', max_retries=0).invoke('hi')",
    ),
    Snippet(
        "langchain-anthropic",
        "anthropic",
        "from langchain_anthropic import ChatAnthropic; ChatAnthropic(model='m', max_retries=0).invoke('hi')",
    ),
    Snippet(
        "langchain-google-genai",
        "gemini",
        "from langchain_google_genai import ChatGoogleGenerativeAI as C; "
        "C(model='m', max_retries=1).invoke('hi')",
    ),
    Snippet(
        "llama-index-llms-openai",
        "openai",
        "from llama_index.llms.openai import OpenAI; OpenAI(model='gpt-4o', max_retries=0).complete('hi')",
    ),
    Snippet(
        "llama-index-llms-anthropic",
        "anthropic",
        "from llama_index.llms.anthropic import Anthropic; "
        "Anthropic(model='claude-3-haiku-20240307', max_retries=0).complete('hi')",
    ),
    Snippet(
        "groq",
        "groq",
        f"import groq; groq.Groq(max_retries=0).chat.completions.create(model='m', messages={HI})",
    ),
    Snippet("cohere", "cohere", f"import cohere; cohere.ClientV2().chat(model='m', messages={HI})"),
    Snippet(
        "mistralai",
        "mistral",
        "from mistralai.client import Mistral; "
        f"Mistral(api_key='none').chat.complete(model='m', messages={HI})",
    ),
    Snippet(
        "boto3",
        "bedrock",
        "import boto3; from botocore.config import Config; "
        "boto3.client('bedrock-runtime', config=Config(retries={'total_max_attempts': 1}))"
        ".converse(modelId='m', messages=[{'role': 'user', 'content': [{'text': 'hi'}]}])",
    ),
    node(
        "openai",
        "openai",
        "import OpenAI from 'openai'; await new OpenAI({maxRetries: 0})"
        f".chat.completions.create({{model: 'm', messages: {HI}}})",
    ),
    node(
        "@anthropic-ai/sdk",
        "anthropic",
        "import A from '@anthropic-ai/sdk'; await new A({maxRetries: 0})"
        f".messages.create({{model: 'm', max_tokens: 9, messages: {HI}}})",
    ),
    node(
        "@google/genai",
        "gemini",
        "import {GoogleGenAI} from '@google/genai'; "
        "await new GoogleGenAI({}).models.generateContent({model: 'm', contents: 'hi'})",
    ),
    node("@ai-sdk/openai", "openai", vercel("openai", "openai", "gpt-4o")),
    node("@ai-sdk/anthropic", "anthropic", vercel("anthropic", "anthropic", "claude-x")),
    node("@ai-sdk/google", "gemini", vercel("google", "google", "gemini-x")),
    node(
        "@langchain/openai",
        "openai",
        "import {ChatOpenAI} from '@langchain/openai'; "
        "await new ChatOpenAI({model: 'm', maxRetries: 0}).invoke('hi')",
    ),
    node(
        "@langchain/anthropic",
        "anthropic",
        "import {ChatAnthropic} from '@langchain/anthropic'; "
        "await new ChatAnthropic({model: 'm', maxRetries: 0}).invoke('hi')",
    ),
)
