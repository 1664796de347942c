"""Patterns for kinds of secrets: tokens by form, passwords and keys by the word before them."""

from __future__ import annotations

import re

# `secret = "churn-service"` names a Kubernetes secret; a value with a digit or a capital is one
_NOT_A_NAME = (
    r"[\"']?\s{0,20}(?::\s{0,3}[A-Za-z]\w{1,20}\s{0,3})?[:=]\s{0,20}[\"']"
    r"(?!(?-i:[a-z]+(?:[-._](?:[a-z]+|\d{1,2})){0,8}"
    r"|(?:V\d)?[A-Za-z][a-z]*(?:[A-Z][a-z]+){1,8})[\"'])(?-i:[a-z_.-]*+[^a-z_.\"'-])"
)
STANDS_FOR = (
    r"\$|\{|<|\.\.\.|…|\*\*\*|example|change|placeholder|not-a-|not_a_|your[-_ ]|dummy|redacted"
    r"|xxxx"
    r"|replace[-_ ]?(?:me|this|with)|todo|insert[-_ ]"
    r"|^(?:pass(?:word|wort)|secret|postgres|minioadmin|admin)$"
)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TOKENS = (
    r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,}"
    r"|gl(?:pat|dt|rt|cbt|ptt|oas|ft|imt|agent|soat)-[\w-]{20,}"
    r"|hf_[A-Za-z0-9]{30,40}(?!\w)|(?:sotap?_|xox[abeoprs]-)[A-Za-z0-9_-]{20,}"
    r"|xox[ar]-\d{1,20}-[a-z0-9]{10,}|xoxe\.xox[bp]-\d-\w{100,}|xapp-\d-[A-Z0-9-]{20,}"
    r"|sk-(?:proj-|svcacct-|ant-[\w]+-|or-v1-)[A-Za-z0-9_-]{20,}"
    r"|sk-(?=[a-z0-9-]{0,60}[A-Z])(?=[A-Za-z-]{0,60}\d)[A-Za-z0-9_-]{20,}"
    r"|(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[A-Za-z0-9+/=]{24,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|[0-9a-f]{32}-us\d{1,2}|(?:AC|SK)[0-9a-f]{32}|key-[0-9a-f]{32}|pypi-[\w-]{40,}"
    r"|npm_[A-Za-z0-9]{36}"
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}|dapi[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{64}"
    r"|hv[sbr]\.[\w-]{20,}|[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}|sntry[su]_[\w+/=-]{40,}"
    r"|NRAK-[A-Z0-9]{27}"
    r"|lin_api_\w{32,}"
    r"|(?:secret_|ntn_)[A-Za-z0-9]{43,}|glsa_\w{32,}|glc_[\w+/=]{32,}"
    r"|dt0[a-z]01\.[A-Z0-9]{24}\.\w{40,}"
    r"|dp\.[a-z]{2,6}\.\w{40,}"
    r"|shp(?:at|ss|ca|pa)_[0-9a-f]{32}|sq0(?:atp|csp)-[\w-]{22,}"
    r"|[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{50,}|pscale_(?:tkn|pw|oauth)_[\w.=-]{32,}|pul-[0-9a-f]{40}"
    r"|rubygems_[0-9a-f]{40,}"
    r"|dckr_pat_[\w-]{20,}|ATATT3\w{20,}|ATCTT3\w{20,}|EAAC\w{30,}|figd_[\w-]{30,}|r8_\w{30,}"
    r"|gsk_\w{30,}"
    r"|pplx-\w{30,}"
    r"|phc_\w{30,}|phx_\w{30,}|PMAK-[0-9a-f-]{40,}|tfp_\w{30,}|v1\.0-[0-9a-f]{24}-[0-9a-f]{40,}"
    r"|CLOJARS_[0-9a-f]{60}"
    r"|api_org_[A-Za-z]{34}|rdme_[a-z0-9]{60,}|tskey-[a-z]{3,10}-[\w-]{20,}|fo1_[\w-]{40,}"
    r"|fm[12]_[\w+/=-]{60,}"
    r"|sgp_[0-9a-f_]{40,}|xai-\w{60,}|AKCp\w{60,}|lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"
    r"|nvapi-[\w-]{60,}"
    rf"|[sp]k-lf-{_UUID}|pat-(?:na|eu)\d-{_UUID}|[ps]k\.eyJ1[\w-]{{20,}}\.[\w-]{{20,}}"
    rf"|LTAI[A-Za-z0-9]{{12,20}}"
    r"|AKID[A-Za-z0-9]{32}|(?i:vault[_ -]?token)\W{1,5}s\.[A-Za-z0-9]{24}"
    r"|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}|xkeysib-[0-9a-f]{64}-\w{16}"
    r"|sl\.[\w-]{130,}"
    r"|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|ABSK[A-Za-z0-9+/=]{100,}|NRJS-[0-9a-f]{19}|CFPAT-[\w-]{40,}"
    r"|ops_eyJ[\w-]{40,}|\d{8,10}:AA[\w-]{33}|bkua_[0-9a-f]{40}|nf[pcu]_\w{30,}|cio[\w-]{30,}"
    r"|sbp_[0-9a-f]{40}"
    # no word is needed in front of these either: their first letters and their length tell
    r"|[\w~.]{3}\dQ~[\w~.-]{31,34}|sha256~[\w-]{43}|EZ[AT]K[A-Za-z0-9]{54}|EAAA[lE][\w-]{58,}"
    r"|EAA[MC][A-Za-z0-9]{60,}|sgp_[0-9a-fA-F_]{40,}"
    r"|sgp_local_[0-9a-fA-F]{40}|[sr]k_prod_[0-9A-Za-z]{16,}|s-s4t2(?:ud|af)-[0-9a-f]{64}"
    r"|A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}"
    r"|HRKU-AA[\w-]{50,}|ico-[A-Za-z0-9]{32}|NRII-[\w-]{32}|dnkey-[\w=-]{26}-[\w=-]{52}"
    r"|GR1348941[\w-]{20}|FLW(?:SEC|PUB)K_TEST-[0-9a-f-]{12,}"
    r"|fio-u-[\w=-]{64}|glffct-[\w-]{20}|sq[upa]_[0-9a-f]{40}|shippo_(?:live|test)_[0-9a-f]{40}"
    r"|sat\.[\w-]{22}\.[\w-]{24}\.[\w-]{20}|AQVN[\w-]{35,38}"
    r"|t1\.[A-Z0-9a-z_-]+={0,2}\.[\w-]{86}={0,2}|sm_(?:aat|pat|sat)_[A-Za-z0-9]{16}"
    r"|duffel_(?:test|live)_[\w=-]{43}|tk-us-[\w-]{48}|p8e-[0-9a-f]{32}|pnu_[a-z0-9]{36}"
    r"|access-(?:sandbox|development|production)-[0-9a-f-]{36}|bedrock-api-key-[A-Za-z0-9+/=]{20,}"
    r"|cmVmdGtu[A-Za-z0-9]{50,}|pubkey-[0-9a-f]{32}"
)
_KEY_WORDS = (
    r"password|passwd|passphrase|pwd|passwort"
    r"|(?:api|access|private|secret|account|master|signing|encryption|fernet"
    r"|license|auth|hmac|aes)[_.-]?key"
    r"|secret[_-]?access[_-]?key|client[_-]?secret|auth[_-]?token|access[_-]?token|credential"
    r"|pseudonym_?key\w{0,10}"
)
_ASSIGNS = r"(?:[?:+]{0,3}=>?|:|<-)"
_KINDS = {
    "private key": r"-----BEGIN (?:[A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d"
    r"|\"kty\"\s{0,5}:.{0,2000}\"[dk]\"\s{0,5}:\s{0,5}\"[\w-]{20,}\"",
    "random key": r"(?i)(?<!public[_.-])(?<!cache[_.-])(?<!partition[_.-])(?<![a-z])(?:key|salt"
    r"|pepper)[\"'\]]{0,2}\s{0,20}"
    r"(?:[?:]?=|:|<-)\s{0,20}(?:[\w.]{1,30}\()?b?[\"']?(?:[0-9a-f]{64}|[0-9a-f]{32})(?![\w-])",
    "key of a call": r"(?i)\b(?:hmac\.new|jwt\.(?:en|de)code|pgp_sym_(?:en|de)crypt|AES\.new"
    r"|AESGCM)\((?:[^()\"']{0,80},\s?)?"
    r"b?[\"'](?=[^\"']{0,60}\d)[\w+/=-]{16,}[\"']",
    "product key": r"(?i:product|licen[cs]e|serial|activation)[ _-]?(?i:key|number|no)?\W{1,5}"
    r"(?=[A-Z-]{0,30}\d)[A-Z0-9]{4,6}(?:-[A-Z0-9]{4,6}){3,5}\b",
    "default of a secret": (
        r"(?:PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|SECRET_KEY|ACCESS_KEY|PRIVATE_KEY"
        r"|_PASS)[\"'\])]{0,3}\s{0,3}"
        rf"(?:\|\||\?\?|\bor\b|:-|:=)\s{{0,3}}[\"']?(?!(?i:[^\"'}}]{{0,60}}(?:{STANDS_FOR})))"
        rf"(?=[^\s\"'}}]{{0,60}}\d)"
        r"[^\s\"'${}<(]{8,}"
        r"|(?i:password|passwd|secret|token"
        r"|api_key)\w{0,20}[\"']?\s{0,3}[:=]\s{0,3}[\"']?\$\{\w{1,60}:?[-=]"
        rf"(?!(?i:[^}}]{{0,60}}(?:{STANDS_FOR})))(?=[^\s}}]{{0,60}}\d)[^\s\"'${{}}<(:/]{{8,}}\}}"
    ),
    "password in a connection text": (
        rf"(?i)(?:\b(?:host|server|user(?: id|name)?|dbname|database|data source"
        rf"|uid)\s?=[^\"'=;\n]{{1,100}}[;\s]\s?"
        rf"(?:[\w ]{{1,30}}=[^\"'=;\n]{{1,60}}"
        rf"[;\s]\s?){{0,5}}|:\d{{2,5}},(?:\w{{1,20}}=\w{{1,20}},){{0,3}})(?:password"
        rf"|pwd)\s?=\s?(?![^;\s\"']{{0,60}}(?:{STANDS_FOR}))"
        r"(?=[^;\s\"',]{0,60}\d)[^;\s\"',${<%]{6,}"
    ),
    "pseudonym key": r"(?i)pseudonym_?key\w{0,10}[\"'\]]{0,2}\s{0,20}(?:[?:]?=|:|<-|,)\s{0,20}"
    r"b?[\"']?(?!(?-i:[A-Z_]+)[\"'\s])[0-9a-z+/=_-]{16,}(?![\w.(\[])",
    "S3 access key": r"\b(?:AKIA|ASIA|ABIA|ACCA|SCW)(?!\w{0,12}EXAMPLE)[0-9A-Z]{16,17}\b",
    "service token": rf"(?<![\w.-])(?:{_TOKENS})(?![A-Za-z0-9])",
    "signed token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,}"
    r"|discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}"
    r"|webhook\.office\.com/webhookb2/[\w@-]{20,}",
    "storage key": r"(?i)(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}"
    r"|[?&]sig=[A-Za-z0-9%+/]{40,}"
    r"|aws_?secret\w{0,20}[\"']?\s{0,20}[:=]\s{0,20}[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    "registry login": r":_password\s{0,5}=\s{0,5}\S{8,}"
    r"|(?<![\w.])_auth(?:Token)?\s{0,5}=\s{0,5}[\"']?(?!\$)[\w+/=.-]{8,}"
    r"|\"auth\"\s{0,5}:\s{0,5}\"[A-Za-z0-9+/]{12,}={0,2}\"",
    "login call": r"(?i)\bwandb\s+login\s.{0,60}\b[0-9a-f]{40}\b"
    r"|\b(?:login|authenticate)\((?:[^()\n]{0,200}(?:key|token"
    r"|password)\s{0,5}=\s{0,5})?[\"'][A-Za-z0-9_-]{20,}[\"']",
    "key of a kaggle.json": r"\"username\"\s{0,5}:\s{0,5}\"[^\"]{1,60}\"\s{0,5},"
    r"\s{0,5}\"key\"\s{0,5}:\s{0,5}\"[0-9a-f]{32}\"",
    "authorization header": r"(?i)\bauthorization[\"']?\s{0,5}[:=,]\s{0,5}[\"']?(?:bearer|basic"
    r"|token)\s{1,3}"
    r"(?!\$|\{|<|%)[\w.~+/=-]{20,}",
    "login in a command": (
        rf"(?i)(?:\bcurl\s(?:.{{0,200}}\s)?(?:-u"
        rf"|--user)[ =]{{0,3}}[\"']?[\w.@-]{{0,60}}[\"']?:(?:[\"']?(?=\{{?\w))?"
        # curl goes on in this line, and its name stands in an earlier one
        rf"|^\s{{1,20}}(?:-u|--user)\s{{1,3}}\w{{2,30}}:(?=\w{{12,}}(?:\s|$))"
        rf"|\b(?:mysql|mysqldump|mariadb)\s.{{0,100}}\s-p"
        rf"|\b(?:docker|podman|helm\s+registry)\s+login\s.{{0,100}}\s(?:-p|--password)[ =]"
        rf"|\bsshpass\s+-p\s?|\bredis-cli\s.{{0,60}}\s-a\s"
        rf"|[\s\"'\[]--(?:\w{{1,20}}-)?(?:password|token|api-key|secret)[ =,\"']{{1,4}}"
        rf"|\s--from-literal[ =][\w.-]{{0,60}}(?:password|token|secret|key)[\w.-]{{0,20}}="
        rf"|\bdvc\s+remote\s+modify\s.{{0,80}}\s(?:password"
        rf"|\w{{0,30}}(?:secret|token|_key)\w{{0,20}})\s+"
        rf"|\baws\s+configure\s+set\s+\S{{0,60}}(?:secret|token)\S{{0,20}}\s+"
        rf"|\bmc\s+(?:alias|config\s+host)\s.{{0,200}}\s\S+\s+"
        rf"|\brequirepass[ \"',]{{1,4}}|\bvault\s+(?:kv\s+put|write)\s.{{0,100}}(?:password|token"
        rf"|secret|key)\w{{0,20}}="
        rf"|\bhtpasswd\s+-\w{{0,5}}b\w{{0,5}}\s+\S+\s+\S+\s+"
        rf"|\bopenssl\s.{{0,100}}\s(?:-k\s|-pass(?:in|out)?\s+pass:)"
        rf"|\s--set(?:-string)?\s+[\w.]{{0,60}}(?:password|token|secret)=)"
        rf"(?!(?i:[\"']?[^\s\"']{{0,20}}(?:{STANDS_FOR})))[\"']?"
        rf"(?=[^\s\"']{{0,40}}\d)[^\s\"'$<{{|;&(-][^\s\"'$<{{|;&(]{{5,}}"
    ),
    "password in SQL": (
        r"(?i)\b(?:password|identified\s+by|secret|key_secret)\s+'(?!\$|\{|<|change"
        r"|:|%)[^'\s]{6,200}'"
    ),
    "password in XML": (
        rf"(?i)<(\w{{0,40}}(?:password|passwd|pwd|passphrase|secret|apikey|api-key|token))>"
        rf"(?!\s|\$\{{|\{{\{{|[^<]{{0,60}}(?:change|example|your|xxxx))[^<\s]{{6,200}}</\1>"
        rf"|(?:key|name)=\"\w{{0,40}}(?:password|apikey|api_key|secret"
        rf"|token)\"\s+value=\"(?![^\"]{{0,100}}(?:{STANDS_FOR}))[^\"\s]{{8,}}\""
    ),
    "password of a call": (
        rf"(?i)\bauth\s?=\s?\(\s?[\"'][^\"']{{1,60}}[\"'],\s?[\"'](?![^\"']{{0,60}}"
        rf"(?:{STANDS_FOR}))[^\"'\s]{{6,}}[\"']"
        rf"|[\"'][\w.-]{{0,40}}(?:password|passwd|api[._-]?key|secret[._-]?key"
        rf"|account[._]key[\w.-]{{0,60}})[\"'],\s?[\"']"
        rf"(?=[^\"']{{0,60}}\d)(?![^\"']{{0,60}}(?:{STANDS_FOR}))[^\"'\s]{{8,}}[\"']"
    ),
    "key in a header": (
        r"(?i)(?:\s|^)(?:-H|--header)[ =][\"']?[\w-]{0,30}(?:authorization|api-?key|token|secret"
        r"|access-?key)\s{0,3}:\s{0,5}"
        r"(?:(?:basic|bearer|digest|\w{0,10}-?token|apikey)\s{1,3})?(?=[^\"']{0,100}\d)(?!\$|\{|<"
        r"|%)[\w.~+/=@-]{11,}"
    ),
    "client key": r"client-key-data:\s{0,5}[A-Za-z0-9+/]{40,}",
    "encryption key": r"(?<![\w+/=-])(?<!public_key = )(?<!public_key=)"
    r"(?<!publicKey: )[\"'][A-Za-z0-9_-]{43}=[\"']"
    r"|Fernet\(b?[\"'][^\"']{20,}[\"']",
    "password in an address": rf"://(?!(\w+):\1@[\w-]+[:/\s\"']"
    rf"|[\w.-]{{1,30}}:(?:password|passwd|pass|secret)@"
    rf"|[A-Z_]{{2,40}}:[A-Z_]{{2,40}}@)[^/\s:@\"'{{}}$<]{{0,80}}:(?!\*+@"
    rf"|(?i:{STANDS_FOR}))[^@\s/\"'{{}}$<]{{3,200}}@",
    "password or key in an environment file": (
        r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|ACCESS_KEY|API_KEY|SECRET_KEY|PRIVATE_KEY"
        r"|AUTH_KEY"
        r"|ACCOUNT_KEY|STORAGE_KEY|SHARED_KEY|MASTER_KEY|SIGNING_KEY)="
        rf"[\"']?(?!(?i:{STANDS_FOR})|(?i:password|passwort)\b|\w{{1,60}}\[)[^\s$<{{\"'(@*`]{{8,}}"
        rf"|^\s{{0,8}}ENV\s+\w{{0,60}}(?:PASSWORD|PASSWD|SECRET|TOKEN|API_KEY"
        rf"|SECRET_KEY)\s+(?!(?i:{STANDS_FOR}))[^\s$<{{=\"']{{8,}}"
    ),
    "password or key": (
        rf"(?i)(?<!hashed_)(?<!public)(?<!public_)(?:(?:{_KEY_WORDS})"
        rf"|(?:secret|(?<!page_)token|auth)(?=" + _NOT_A_NAME + r"))"
        # "tracking_password": "MLFLOW_TRACKING_PASSWORD" says in which variable it is
        # a type may stand between (password: string = "…"), a single word is a label ("Passwort")
        r"[\"']?\]?\s{0,20}(?::\s{0,3}\w{2,20}\s{0,3})?(?:[:?]?=|:|<-)\s{0,20}[bru]{0,2}[\"']"
        r"(?!(?-i:[A-Z]+(?:_[A-Z]+)+|[A-ZÄÖÜ][a-zäöüß]+|password|passwort|contraseña)[\"'])"
        rf"(?![^\"']{{0,200}}?(?:{STANDS_FOR}))[^\"'\s]{{8,}}[\"']"
    ),
    "password of several words": r"(?i)pass(?:phrase"
    r"|word)[\"']?\s{0,5}[:=]\s{0,5}[\"'][a-z]{3,12}(?: [a-z]{3,12}){3,9}[\"']",
}
PATTERNS = {kind: re.compile(pattern) for kind, pattern in _KINDS.items()}
# settings without quotes: YAML, INI, properties, .env in lower case, DVC's and Git's own files
# a value under a word, however code assigns it: the value decides, by looking as if drawn at random
ASSIGNED = re.compile(
    r"(?i)(?<!hashed_)(?<!public)(?<!public[_.-])(?<!csrf[_.-])(?<!csrf)(?<!authenticity_)"
    r"(?<!verification)"
    r"(?:passw(?:or)?d|secret|token|api_?key|access_?key|private_?key|credentials?+|creds)"
    r"(?!iz|s_|ary|[_.-]?(?:type|ur[il]|endpoint|name|class|file|path|id\b|size|length|pattern"
    r"|ref))\w{0,20}[\"'\]]{0,2}"
    r"(?:\s{1,4}[A-Za-z]\w{1,20}\??)?\s{0,10}(?:[?:.|+]{0,4}=>?|:|<-"
    r"|,)\s{0,10}(?:[bru@$]{0,2}([\"'`])|(?=\w))"
    r"([\w+/=.~:@|-]{15,400})(?:\1|(?=[\"'&])|\s{0,5}[;,]?\s{0,5}$)"
)
OPENED_TAG = re.compile(r"(?i)^\s*<(\w{0,60}(?:password|token|secret|api_?key|access_?key))>\s*$")
KEY_STORES = (".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk")
"""Endings of files that contain nothing but keys."""
NO_SECRET = re.compile(
    r"(?i)x{6}|example|%\w+%|\.{3}|#{6}|csrf|authenticity_token|RequestVerificationToken"
)
"""Placeholders for secrets, and tokens that a page gives to everybody."""
SECRET_DOCUMENT = re.compile(r"(?im)^\s{0,4}kind:\s{0,5}[\"']?secret[\"']?\s{0,5}$")
DATA_BLOCK = re.compile(r"^(\s{0,4})data:\s{0,5}$")
ENCODED = re.compile(r"(?:[\w.-]{1,100}:\s{1,5})?[\"']?[A-Za-z0-9+/]{7,}={0,3}[\"']?\s{0,5}$")
UNQUOTED = re.compile(
    rf"(?i)^[ \t]*(?:export\s+|-\s+|set\s+)?[\"']?[\w./-]{{0,80}}?(?:({_KEY_WORDS}"
    rf"|(?<![a-z])(?:pass|pw))|(secret|token"
    rf"|auth))[\"']?"
    rf"\s{{0,20}}{_ASSIGNS}\s{{0,20}}(?![\"'])([^\s\"'#,;(){{}}\[\]$<>*&|!]{{6,300}})\s*"
    rf"(?:[#;].*)?$"
)
INLINE = re.compile(
    rf"(?i)[{{,]\s{{0,5}}([\"']?[\w./-]{{0,60}}?(?:{_KEY_WORDS}"
    rf"|(?<![a-z])(?:pw|pass))[\"']?\s{{0,5}}:\s{{1,5}}[^\s\"',{{}}\[\]$<>*&|!]{{6,300}})\s{{0,5}}"
    rf"[,}}]"
)
"""One pair of a YAML mapping in braces."""
# the name stands in one line, its value below it
OPENED = re.compile(
    rf"(?i)^[ \t]*(?:-\s+)?([\w.-]{{0,60}}?(?:{_KEY_WORDS}))[\"']?\s{{0,5}}:\s{{0,5}}[>|][+-]?\s*$"
)
VARIABLE_OF_ONE = re.compile(
    rf"(?i)^\s*variable\s+\"\w{{0,60}}(?:{_KEY_WORDS}|secret|token)\w{{0,20}}\"\s*{{"
)
REFERENCE = re.compile(
    r"(?:env|vault|op|file|ssm|secret|secretref|awssm|gcpsm|arn|keyring|sops|ref\+\w+):.*"
    r"|Ag[A-Za-z0-9+/]{100,}=*"
)
"""A value that names the place of the secret, or that only a cluster can open."""
_NAME_OF_ONE = (
    r"[\"']?name[\"']?\s{0,5}:\s{0,5}[\"']?\w{0,60}(?:PASSWORD|SECRET|TOKEN|API_KEY|_KEY)[\"']?"
)
NAME_LINE = re.compile(rf"^\s*-?\s*{{?\s*{_NAME_OF_ONE}\s{{0,5}},?\s*$")
NAMED_VALUE = re.compile(
    rf"{_NAME_OF_ONE}\s{{0,5}},?\s{{0,80}}[\"']?value[\"']?\s{{0,5}}:\s{{0,5}}[\"']?"
    rf"([^\s\"'${{}}<,]{{6,300}})"
)
LOGIN_FILES = {
    ".netrc": re.compile(r"\bpassword\s+(?![$<{])\S{4,}"),
    "_netrc": re.compile(r"\bpassword\s+(?![$<{])\S{4,}"),
    ".pgpass": re.compile(r"^[^:#\s]{1,200}:[\d*]{1,6}:[^:]{1,100}:[^:]{1,100}:\S{3,}$"),
    "pgpass.conf": re.compile(r"^[^:#\s]{1,200}:[\d*]{1,6}:[^:]{1,100}:[^:]{1,100}:\S{3,}$"),
}
TERRAFORM = re.compile(r"=\s{0,20}[a-z]\w{0,60}(?:\.[\w\[\]*-]{1,60}){1,8}\s*$")
DEFAULT_VALUE = re.compile(
    rf"\s*default\s*=\s*\"(?!(?i:{STANDS_FOR}))(?=[^\"]*[\dA-Z])[^\"\s]{{6,300}}\""
)
