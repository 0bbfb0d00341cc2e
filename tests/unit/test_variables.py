"""Which environment variables user code sees, and which an invoker may not set."""

import pytest

from batch_endpoints.errors import InvocationError
from batch_endpoints.planning.overrides import effective_deployment
from batch_endpoints.planning.variables import for_user_code, loading_code
from batch_endpoints.specs import Invocation, ModelDeployment, check

SEEN = [
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "http_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "CUDA_DEVICE_ORDER",
    "CUDACXX",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "AZUREML_ROOT",
    "BATCH_INPUT_RATE",
]
HIDDEN = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_STORAGE_KEY",
    "AZURE_CLIENT_SECRET",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "RAY_ADDRESS",
    "BATCH_ENDPOINTS_DATABASE",
    "BATCH_ENDPOINTS_TOKEN",
    "LAKE_KEY",
    "HF_TOKEN",
    "HOME",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "PGPASSWORD",
    "DATABASE_URL",
    "SSH_AUTH_SOCK",
    "KUBECONFIG",
    "MLFLOW_TRACKING_PASSWORD",
    "XPATH",
    "PATHS",
    "MY_LANG",
    "LC_",
    "CUDAX!",
    "BATCH_INPUTS",
]


def test_user_code_sees_the_variables_on_a_list_and_no_others():
    environment = {name: "of the server" for name in SEEN + HIDDEN}

    assert sorted(for_user_code(environment)) == sorted(SEEN)


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONHOME",
        "PYTHONINSPECT",
        "PYTHONBREAKPOINT",
        "PYTHONUSERBASE",
        "PYTHONWARNINGS",
        "PYTHONPYCACHEPREFIX",
        "PYTHONPLATLIBDIR",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "DYLD_INSERT_LIBRARIES",
        "BASH_ENV",
        "BASH_FUNC_ls%%",
        "HOME",
        "PATH",
        "NODE_OPTIONS",
        "PERL5OPT",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "CLASSPATH",
        "GCONV_PATH",
        "OPENSSL_CONF",
        "OMP_TOOL_LIBRARIES",
        "GIT_SSH_COMMAND",
        "R_PROFILE_USER",
        "XDG_CONFIG_HOME",
        "BATCH_ENDPOINTS_SUITS_MODEL",
    ],
)
def test_an_invoker_cannot_set_a_variable_that_loads_code_and_a_deployer_can(name):
    document = {"name": "wine", "model": {"path": "file:///m"}}
    deployed = check(ModelDeployment, {**document, "settings": {"environment_variables": {name: "/x"}}})
    plain = check(ModelDeployment, document)

    with pytest.raises(InvocationError, match="it would load code") as told:
        effective_deployment(plain, Invocation(environment_variables={name: "/x", "RATE": "1"}))
    kept = effective_deployment(deployed, Invocation(environment_variables={"RATE": "1"}))

    assert name in told.value.what
    assert "RATE" not in told.value.what
    assert "settings.environment_variables" in told.value.mend
    assert kept.settings.environment_variables == {name: "/x", "RATE": "1"}


@pytest.mark.parametrize(
    "name",
    [
        "RATE",
        "ENV",
        "NODE_ENV",
        "GIT_SHA",
        "PYTHONHASHSEED",
        "PYTHONUNBUFFERED",
        "OMP_NUM_THREADS",
        "TZ",
    ],
)
def test_an_invoker_may_set_any_other_variable(name):
    assert loading_code([name]) == []
