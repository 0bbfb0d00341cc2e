"""Would the client of Azure ML, with this environment, reach the server? Each way in which it would not, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from requests.utils import should_bypass_proxies

from batch_endpoints.cli.azure_variables import AUTHORITIES
from batch_endpoints.policies.azure_client import METADATA, ML_AUDIENCE

_AGAIN = 'Run eval "$(batch-endpoints azure env)" again, in the shell that starts the notebook.'
_SECONDS = 10
_URL, _CLOUD = "ARM_CLOUD_METADATA_URL", "AZUREML_CURRENT_CLOUD"


class Finding(NamedTuple):
    """One thing that was looked at.

    Args:
        mend: what to change; "" where it is as it should be.
    """

    check: str
    result: str
    mend: str = ""


def findings(environment: Mapping[str, str]) -> list[Finding]:
    """What stands in the way, in the order in which the client would meet it, up to the first that stops it."""
    found: list[Finding] = []
    for look in (_variables, _cloud, _proxy, _server, _token):
        finding = look(environment)
        found.append(finding)
        if finding.mend and look is not _cloud:
            break
    return found


def _variables(environment: Mapping[str, str]) -> Finding:
    needed = (_URL, AUTHORITIES, "IDENTITY_ENDPOINT", "IDENTITY_HEADER")
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        return Finding("variables", f"not set: {', '.join(missing)}", _AGAIN)
    url = urlsplit(environment[_URL])
    if url.scheme != "https":
        return Finding(
            "variables",
            f"{_URL} is {environment[_URL]}: the client sends no token over plain HTTP",
            "Start the server with `batch-endpoints azure up`. " + _AGAIN,
        )
    if url.path != METADATA:
        return Finding("variables", f"{_URL} is {environment[_URL]}, which is no address of this server's", _AGAIN)
    return Finding("variables", f"name the server at {url.scheme}://{url.netloc}")


def _cloud(environment: Mapping[str, str]) -> Finding:
    chosen = environment.get(_CLOUD, "")
    if chosen and chosen != "BatchEndpoints":
        return Finding("cloud", f"{_CLOUD} is {chosen}, which wins over {_URL}", f"Run `unset {_CLOUD}`.")
    return Finding("cloud", "no other one is chosen")


def _proxy(environment: Mapping[str, str]) -> Finding:
    host = urlsplit(environment[_URL]).netloc
    proxy = environment.get("HTTPS_PROXY") or environment.get("https_proxy")
    no_proxy = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if proxy and not should_bypass_proxies(environment[_URL], no_proxy):
        name = urlsplit(environment[_URL]).hostname
        return Finding("proxy", f"requests to {host} go to the proxy {proxy}", f'export NO_PROXY="$NO_PROXY,{name}"')
    return Finding("proxy", "none stands between")


def _server(environment: Mapping[str, str]) -> Finding:
    url = environment[_URL]
    try:
        answer = requests.get(url, timeout=_SECONDS, verify=environment[AUTHORITIES])
        cloud = answer.json()
        manager = str(cloud["resourceManager"])
    except requests.exceptions.SSLError as error:
        if "WRONG_VERSION_NUMBER" in str(error):
            return Finding("server", f"{url} speaks plain HTTP", "Start it with `batch-endpoints azure up`.")
        return Finding("server", f"its certificate is not trusted by the file that {AUTHORITIES} names", _AGAIN)
    except requests.ConnectionError:
        return Finding("server", f"nothing answers at {url}", "Start it with `batch-endpoints azure up`.")
    except OSError as error:  # requests' own errors among them, and a file of authorities that is not there
        return Finding("server", f"{url}: {error}", _AGAIN)
    except (ValueError, KeyError, TypeError):
        return Finding("server", f"what answers at {url} is no batch endpoints server", _AGAIN)
    if manager not in url + "/":
        return Finding("server", f"it calls itself {manager}", f"Call it by that name in {_URL}.")
    return Finding("server", "answers, and its certificate is trusted")


def _token(environment: Mapping[str, str]) -> Finding:
    try:
        answer = requests.get(
            environment["IDENTITY_ENDPOINT"],
            params={"api-version": "2019-08-01", "resource": ML_AUDIENCE},
            headers={"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]},
            timeout=_SECONDS,
            verify=environment[AUTHORITIES],
        )
    except requests.RequestException as error:
        return Finding("token", f"the token route does not answer: {error}", _AGAIN)
    if answer.status_code == 401:
        return Finding("token", "the secret in IDENTITY_HEADER is not this server's", _AGAIN)
    if answer.status_code != 200:
        return Finding("token", f"the token route answers {answer.status_code}", _AGAIN)
    return Finding("token", "the server gives one")
