"""Environment variables of user code: which of a machine's it sees, and which an invoker may not set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from batch_endpoints.errors import InvocationError

_FOR_USER_CODE = re.compile(
    r"PATH|LANG|LANGUAGE|LC_[A-Z]+|TZ|TZDIR"
    r"|(?:HTTP|HTTPS|FTP|ALL|NO)_PROXY|(?:http|https|ftp|all|no)_proxy"
    r"|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE"  # what a proxy that looks inside needs besides
    r"|CUDA_?[A-Z0-9_]*|NVIDIA_[A-Z0-9_]+"
    r"|[A-Z0-9_]+_(?:NUM|MAX|MAXIMUM)_(?:INTRAOP_|INTEROP_)?THREADS"
    r"|AZUREML_[A-Za-z0-9_]+|BATCH_INPUT_[A-Za-z0-9_]+"
)
_LOADS_CODE = re.compile(
    # the interpreter's own, but for those that only change how it prints, counts or checks
    r"PYTHON(?!HASHSEED$|UNBUFFERED$|FAULTHANDLER$|IOENCODING$|UTF8$|DONTWRITEBYTECODE$|TRACEMALLOC$).*"
    r"|HOME|PATH|XDG_.*|VIRTUAL_ENV|CONDA_.*|UV_.*|PIP_.*|HF_MODULES_CACHE|RAY_.*|BATCH_ENDPOINTS_.*"
    r"|LD_.*|DYLD_.*|GLIBC_TUNABLES|GCONV_PATH|LOCPATH|NLSPATH|OMP_TOOL.*|OPENSSL_.*|[A-Z0-9_]*PLUGIN_PATH"
    r"|CUDA_INJECTION.*|CUDA_PATH|CUDA_HOME|NVIDIA_DRIVER_.*|OCL_ICD.*|VK_.*"
    r"|BASH.*|SHELL|SHELLOPTS|PS4|PROMPT_COMMAND|IFS|EDITOR|VISUAL|PAGER|BROWSER|LESSOPEN|LESSCLOSE"
    r"|GIT_(?:SSH.*|EXEC_PATH|CONFIG.*|ASKPASS|EDITOR|PAGER|PROXY_COMMAND|EXTERNAL_DIFF|TEMPLATE_DIR)"
    r"|PERL5.*|PERLLIB|RUBYLIB|RUBYOPT|NODE_OPTIONS|NODE_PATH|CLASSPATH|_?JAVA_(?:HOME|OPT.*|TOOL_OPTIONS)"
    r"|JDK_JAVA_OPTIONS|R_(?:HOME|LIBS.*|PROFILE.*|ENVIRON.*)|JULIA_(?:LOAD_PATH|DEPOT_PATH|PROJECT)"
)


def for_user_code(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process that it may hand to user code: a list of names, for any other may be a secret."""
    return {name: value for name, value in environment.items() if _FOR_USER_CODE.fullmatch(name)}


def check_loads_no_code(names: Iterable[str]) -> None:
    """Raises InvocationError where one of these variables, which a job sets, would load code."""
    if loading := loading_code(names):
        raise InvocationError(
            f"a job cannot set the environment variable {', '.join(sorted(loading))}: it would load code that the "
            "deployment does not have",
            mend="Set it in the deployment, under settings.environment_variables.",
        )


def loading_code(names: Iterable[str]) -> list[str]:
    """Of these variables those that make a process load or run code that its deployment does not have."""
    return [name for name in names if _LOADS_CODE.fullmatch(name)]
