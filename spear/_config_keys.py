"""Every configuration key in one literal table; readers, help and documents derive from it."""

from dataclasses import KW_ONLY, dataclass

from spear._config_kinds import (
    ADDRESS,
    BACKEND,
    BOOL,
    BUS_OR_NONE,
    BYTES,
    COUNT,
    COUNT_OR_0,
    DATABASE,
    ENDPOINT_OR_NONE,
    ENGINE_OR_NONE,
    FOLDERS,
    FORMAT,
    LEVEL,
    LLM_BACKENDS,
    LLM_CREDENTIALS,
    MILLISECONDS,
    MILLISECONDS_OR_0,
    NAMES,
    ORIGINS,
    PATH,
    PATH_OR_NONE,
    PORT,
    PULL,
    SANDBOX,
    SECONDS,
    SECONDS_OR_0,
    TEXT,
    TYPES,
    VARIABLES,
    Kind,
    Role,
    Value,
    whole,
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its dotted TOML name, the field of `Config` that it fills, and every other way to set it.

    Two keys may fill one field: role spearlet takes the later row, the other roles take the earlier one.
    """

    name: str
    field: str
    kind: Kind
    default: Value
    _: KW_ONLY
    env: str
    flags: str = ""
    meaning: str
    in_all: Value | None = None

    def reads(self, role: Role) -> bool:
        """Whether `role` takes this key from anywhere but its default."""
        return role is Role.ALL or self.variables(role)[0].startswith(f"{role.upper()}_")

    def variables(self, role: Role) -> list[str]:
        """The environment variables that set it in `role`; the first that is there counts."""
        named = self.env.split()
        own = [name for name in named if name.startswith(f"{role.upper()}_")]
        return [(own or named)[0], *(name for name in named if not name.startswith(("SMS_", "SPEARLET_")))]

    def default_in(self, role: Role) -> Value:
        """Its value when nobody sets it."""
        return self.in_all if role is Role.ALL and self.in_all is not None else self.default


# fmt: off
KEYS: tuple[Key, ...] = (
    Key("enable_swagger", "enable_swagger", BOOL, True,
        env="SMS_ENABLE_SWAGGER", flags="--enable-swagger --disable-swagger", meaning="Serve the Swagger UI."),
    Key("enable_web_admin", "enable_web_admin", BOOL, False, in_all=True,
        env="SMS_ENABLE_WEB_ADMIN", flags="--enable-web-admin --disable-web-admin", meaning="Serve the web admin."),
    Key("heartbeat_timeout", "heartbeat_timeout", SECONDS, 120,
        env="SMS_HEARTBEAT_TIMEOUT", flags="--heartbeat-timeout",
        meaning="Seconds without a heartbeat after which a node is offline."),
    Key("cleanup_interval", "cleanup_interval", SECONDS, 300,
        env="SMS_CLEANUP_INTERVAL", flags="--cleanup-interval", meaning="Seconds between two removals: of lost nodes at an SMS, of unused content at a SPEARlet."),
    Key("node_removal_after", "node_removal_after", SECONDS_OR_0, 0,
        env="SMS_NODE_REMOVAL_AFTER", meaning="Seconds that an offline node is kept before a clean-up removes it."),
    Key("max_upload_bytes", "max_upload_bytes", BYTES, 67108864,
        env="SMS_MAX_UPLOAD_BYTES", flags="--max-upload-bytes", meaning="Bytes that one uploaded file may have."),
    Key("content_retention", "content_retention", SECONDS_OR_0, 86400,
        env="SMS_CONTENT_RETENTION SPEARLET_CONTENT_RETENTION",
        meaning="Seconds that content which nothing names any more stays readable as of earlier."),
    Key("snapshot_every", "snapshot_every", COUNT, 10000,
        env="SMS_SNAPSHOT_EVERY SPEARLET_SNAPSHOT_EVERY", meaning="Events between two snapshots of the views; a tenth of the log if that is more."),
    Key("data_dir", "data_dir", PATH, "./data",
        env="SMS_DATA_DIR", flags="--data-dir", meaning="The directory of everything that is kept."),
    Key("follow", "follow", BUS_OR_NONE, "",
        env="SMS_FOLLOW", flags="--follow",
        meaning="The bus of the SMS of which this one is a read-only standby, tcp://host:port; nothing: it is none. Only for role sms."),
    Key("follow_key", "follow_key", TEXT, "",
        env="SMS_FOLLOW_KEY", meaning="The public key of that bus, where it is encrypted."),
    Key("follow_token_path", "follow_token_path", PATH_OR_NONE, "",
        env="SMS_FOLLOW_TOKEN_PATH", meaning="A file with the operator's token that the bus which is followed asks for."),

    Key("grpc.addr", "grpc_addr", ADDRESS, "127.0.0.1:50051",
        env="SMS_GRPC_ADDR", flags="--grpc-addr", meaning="Where gRPC listens."),
    Key("grpc.enable_tls", "grpc_tls.enabled", BOOL, False,
        env="SMS_GRPC_ENABLE_TLS", meaning="Encrypt gRPC; needs both paths."),
    Key("grpc.cert_path", "grpc_tls.cert_path", PATH_OR_NONE, "",
        env="SMS_GRPC_TLS_CERT_PATH", meaning="The certificate chain of gRPC, PEM."),
    Key("grpc.key_path", "grpc_tls.key_path", PATH_OR_NONE, "",
        env="SMS_GRPC_TLS_KEY_PATH", meaning="The private key of gRPC, PEM."),
    Key("grpc.client_ca_path", "grpc_tls.client_ca_path", PATH_OR_NONE, "",
        env="SMS_GRPC_TLS_CLIENT_CA_PATH", meaning="Who must have signed the certificate of whoever connects to gRPC, PEM; needs enable_tls."),
    Key("grpc.max_message_bytes", "grpc.max_message_bytes", BYTES, 4194304,
        env="SMS_GRPC_MAX_MESSAGE_BYTES SPEARLET_GRPC_MAX_MESSAGE_BYTES",
        meaning="Bytes that one gRPC request may have."),
    Key("grpc.max_connections", "grpc.max_connections", COUNT, 4096,
        env="SMS_GRPC_MAX_CONNECTIONS SPEARLET_GRPC_MAX_CONNECTIONS",
        meaning="Connections that gRPC keeps; more are closed at once. A node keeps one to its SMS."),
    Key("grpc.max_streams", "grpc.max_streams", COUNT, 4096,
        env="SMS_GRPC_MAX_STREAMS SPEARLET_GRPC_MAX_STREAMS",
        meaning="Streams of gRPC that are open at once, besides 1024 calls. A node keeps one to its SMS."),

    Key("http.addr", "http_addr", ADDRESS, "127.0.0.1:8080",
        env="SMS_HTTP_ADDR", flags="--http-addr", meaning="Where HTTP listens."),
    Key("http.enable_tls", "http_tls.enabled", BOOL, False,
        env="SMS_HTTP_ENABLE_TLS SPEARLET_HTTP_ENABLE_TLS", meaning="Encrypt HTTP; needs both paths."),
    Key("http.cert_path", "http_tls.cert_path", PATH_OR_NONE, "",
        env="SMS_HTTP_TLS_CERT_PATH SPEARLET_HTTP_TLS_CERT_PATH", meaning="The certificate chain of HTTP, PEM."),
    Key("http.key_path", "http_tls.key_path", PATH_OR_NONE, "",
        env="SMS_HTTP_TLS_KEY_PATH SPEARLET_HTTP_TLS_KEY_PATH", meaning="The private key of HTTP, PEM."),
    Key("http.cors_enabled", "cors_enabled", BOOL, True,
        env="SMS_HTTP_CORS_ENABLED", meaning="Let pages of other origins call the REST API."),
    Key("http.client_ca_path", "http_tls.client_ca_path", PATH_OR_NONE, "",
        env="SMS_HTTP_TLS_CLIENT_CA_PATH SPEARLET_HTTP_TLS_CLIENT_CA_PATH", meaning="Who must have signed the certificate of whoever connects, PEM; needs enable_tls."),
    Key("http.hosts", "http.hosts", NAMES, "",
        env="SMS_HTTP_HOSTS SPEARLET_HTTP_HOSTS",
        meaning="Names under which HTTP may be asked, besides localhost and addresses; separated by commas."),
    Key("http.origins", "http.origins", ORIGINS, "",
        env="SMS_HTTP_ORIGINS SPEARLET_HTTP_ORIGINS",
        meaning="Origins whose pages may change things, besides our own; separated by commas."),
    Key("http.max_connections", "http.max_connections", COUNT, 800,
        env="SMS_HTTP_MAX_CONNECTIONS SPEARLET_HTTP_MAX_CONNECTIONS",
        meaning="Connections that an HTTP address keeps; for one more, the one that has waited longest for a request is closed."),
    Key("http.max_headers", "http.max_headers", whole(8, metavar="N", most=99), 96,
        env="SMS_HTTP_MAX_HEADERS SPEARLET_HTTP_MAX_HEADERS", meaning="Header fields that a request may have, at most 99."),
    Key("http.max_header_bytes", "http.max_header_bytes", whole(512, metavar="BYTES", most=65536), 32768,
        env="SMS_HTTP_MAX_HEADER_BYTES SPEARLET_HTTP_MAX_HEADER_BYTES",
        meaning="Bytes that the header fields of a request may have, at most 65536."),
    Key("http.idle_timeout_s", "http.idle_timeout_s", SECONDS, 75,
        env="SMS_HTTP_IDLE_TIMEOUT_S SPEARLET_HTTP_IDLE_TIMEOUT_S",
        meaning="Seconds that a connection may wait for its next request, or take nothing of an answer."),
    Key("http.request_timeout_s", "http.request_timeout_s", SECONDS, 20,
        env="SMS_HTTP_REQUEST_TIMEOUT_S SPEARLET_HTTP_REQUEST_TIMEOUT_S",
        meaning="Seconds that a request may be waited for: its head, and its body beyond what min_bytes_per_s gives."),
    Key("http.min_bytes_per_s", "http.min_bytes_per_s", COUNT, 1024,
        env="SMS_HTTP_MIN_BYTES_PER_S SPEARLET_HTTP_MIN_BYTES_PER_S",
        meaning="Bytes a second that a request's body must bring once request_timeout_s is used up."),

    Key("web_admin.addr", "web_admin_addr", ADDRESS, "127.0.0.1:8081",
        env="SMS_WEB_ADMIN_ADDR", flags="--web-admin-addr", meaning="Where the web admin listens."),

    Key("bus.addr", "bus_addr", ADDRESS, "127.0.0.1:50053",
        env="SMS_BUS_ADDR", flags="--bus-addr", meaning="Where the ZeroMQ event bus listens."),
    Key("bus.notices_port", "bus_notices_port", PORT, 0,
        env="SMS_BUS_NOTICES_PORT SPEARLET_BUS_NOTICES_PORT",
        meaning="The port of the bus's notices, on the same host; 0 is any free one, which every answer of the bus names."),

    Key("bus.max_connections", "bus_max_connections", COUNT, 1024,
        env="SMS_BUS_MAX_CONNECTIONS SPEARLET_BUS_MAX_CONNECTIONS",
        meaning="Connections that each of the bus's two ports keeps; with one more all are closed, and readers come again by themselves."),

    Key("database.db_type", "database.db_type", DATABASE, "sled",
        env="SMS_DB_TYPE", meaning="The event log's database; sled and sqlite both mean the embedded one."),
    Key("database.path", "database.path", PATH, "./data/sms.db",
        env="SMS_DB_PATH", meaning="The event log's file; the default moves with data_dir."),
    Key("database.pool_size", "database.pool_size", COUNT, 10,
        env="SMS_DB_POOL_SIZE", meaning="Accepted, without effect: readers open what they need."),

    Key("log.level", "log.level", LEVEL, "info",
        env="SMS_LOG_LEVEL", flags="--log-level", meaning="The least important lines to log, from trace to error."),
    Key("log.format", "log.format", FORMAT, "json",
        env="SMS_LOG_FORMAT", flags="--log-format", meaning="How a log line looks: json, pretty or compact."),
    Key("log.file", "log.file", PATH_OR_NONE, "./logs/sms.log",
        env="SMS_LOG_FILE", flags="--log-file",
        meaning="A file to log to, besides stderr, or nothing; the default moves with data_dir."),
    Key("log.tasks_dir", "log.tasks_dir", PATH, "./logs/tasks",
        env="SMS_LOG_TASKS_DIR SPEARLET_LOG_TASKS_DIR",
        meaning="Where log lines of executions go, by node and task; the default moves with data_dir."),

    Key("executions.max_concurrent", "executions.max_concurrent", COUNT, 32,
        env="SMS_EXECUTIONS_MAX_CONCURRENT SPEARLET_EXECUTIONS_MAX_CONCURRENT",
        meaning="Executions that run at once on a node."),
    Key("executions.max_concurrent_per_task", "executions.max_concurrent_per_task", COUNT, 32,
        env="SMS_EXECUTIONS_MAX_CONCURRENT_PER_TASK SPEARLET_EXECUTIONS_MAX_CONCURRENT_PER_TASK",
        meaning="Executions of one task that run at once on a node."),
    Key("executions.queue_limit", "executions.queue_limit", COUNT_OR_0, 256,
        env="SMS_EXECUTIONS_QUEUE_LIMIT SPEARLET_EXECUTIONS_QUEUE_LIMIT",
        meaning="Executions that may wait for a place; more are refused."),
    Key("executions.max_forwarded", "executions.max_forwarded", COUNT, 512,
        env="SMS_EXECUTIONS_MAX_FORWARDED",
        meaning="Executions that run at once on other nodes for this process."),
    Key("executions.wall_ms", "executions.wall_ms", MILLISECONDS, 30000,
        env="SMS_EXECUTIONS_WALL_MS SPEARLET_EXECUTIONS_WALL_MS",
        meaning="Milliseconds that an execution may take."),
    Key("executions.memory_bytes", "executions.memory_bytes", BYTES, 268435456,
        env="SMS_EXECUTIONS_MEMORY_BYTES SPEARLET_EXECUTIONS_MEMORY_BYTES",
        meaning="Bytes of memory that an execution may use."),
    Key("executions.output_bytes", "executions.output_bytes", BYTES, 8388608,
        env="SMS_EXECUTIONS_OUTPUT_BYTES SPEARLET_EXECUTIONS_OUTPUT_BYTES",
        meaning="Bytes that an execution may answer."),
    Key("executions.log_bytes", "executions.log_bytes", BYTES, 1048576,
        env="SMS_EXECUTIONS_LOG_BYTES SPEARLET_EXECUTIONS_LOG_BYTES",
        meaning="Bytes of log lines kept of an execution."),
    Key("executions.grace_ms", "executions.grace_ms", MILLISECONDS_OR_0, 5000,
        env="SMS_EXECUTIONS_GRACE_MS SPEARLET_EXECUTIONS_GRACE_MS",
        meaning="Milliseconds that running executions get at shutdown."),
    Key("executions.instance_idle_s", "executions.instance_idle_s", SECONDS_OR_0, 300,
        env="SMS_EXECUTIONS_INSTANCE_IDLE_S SPEARLET_EXECUTIONS_INSTANCE_IDLE_S",
        meaning="Seconds that an unused instance is kept."),
    Key("executions.global_environment", "executions.global_environment", VARIABLES, "",
        env="SMS_EXECUTIONS_GLOBAL_ENVIRONMENT SPEARLET_EXECUTIONS_GLOBAL_ENVIRONMENT",
        meaning="Variables that every agent here gets, no secrets: NAME=value, separated by commas; a task's and a call's own go before."),
    Key("executions.runtimes", "executions.runtimes", TYPES, "",
        env="SMS_EXECUTIONS_RUNTIMES SPEARLET_EXECUTIONS_RUNTIMES",
        meaning="Types of executables that may run here, separated by commas; nothing means all that can."),

    Key("processes.sandbox", "processes.sandbox", SANDBOX, "bwrap",
        env="SMS_PROCESSES_SANDBOX SPEARLET_PROCESSES_SANDBOX",
        meaning="What keeps agents that are processes away from the machine: bwrap, or none at all."),
    Key("processes.readable", "processes.readable", FOLDERS, "",
        env="SMS_PROCESSES_READABLE SPEARLET_PROCESSES_READABLE",
        meaning="Directories that agents in a sandbox may read, besides those of the system; separated by commas."),

    Key("artifacts.s3_endpoint", "s3_endpoint", ENDPOINT_OR_NONE, "",
        env="SMS_ARTIFACTS_S3_ENDPOINT SPEARLET_ARTIFACTS_S3_ENDPOINT",
        meaning="Who keeps the buckets of s3:// and minio:// executables, an http or https origin; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION say as whom they are read."),

    Key("containers.host", "containers.host", ENGINE_OR_NONE, "unix:///var/run/docker.sock",
        env="SMS_CONTAINERS_HOST SPEARLET_CONTAINERS_HOST",
        meaning="The socket of the Docker Engine that runs containers; nothing, or nobody who answers there at the start: this node runs none."),
    Key("containers.pull", "containers.pull", PULL, "never",
        env="SMS_CONTAINERS_PULL SPEARLET_CONTAINERS_PULL",
        meaning="When the engine fetches an image from its registry: never, or when it is missing as a task first needs it."),

    Key("nodes.ca_path", "nodes.ca_path", PATH_OR_NONE, "",
        env="SMS_NODES_CA_PATH SPEARLET_NODES_CA_PATH",
        meaning="Who must have signed the certificates of the nodes' gRPC and HTTP, PEM; with it calls to nodes are encrypted, and only such nodes are called."),
    Key("nodes.cert_path", "nodes.cert_path", PATH_OR_NONE, "",
        env="SMS_NODES_CERT_PATH SPEARLET_NODES_CERT_PATH", meaning="The certificate chain to show to nodes, PEM; needs nodes.ca_path."),
    Key("nodes.key_path", "nodes.key_path", PATH_OR_NONE, "",
        env="SMS_NODES_KEY_PATH SPEARLET_NODES_KEY_PATH", meaning="The private key of nodes.cert_path, PEM."),

    Key("spearlet.node_name", "node_name", TEXT, "",
        env="SPEARLET_NODE_NAME", flags="--node-name", meaning="This node's name; empty is the host's name."),
    Key("spearlet.sms_grpc_addr", "spearlet.sms_grpc_addr", ADDRESS, "127.0.0.1:50051",
        env="SPEARLET_SMS_GRPC_ADDR", flags="--sms-addr --sms-grpc-addr",
        meaning="The SMS's gRPC; the flag connects at start, and exits if that fails."),
    Key("spearlet.sms_http_addr", "spearlet.sms_http_addr", ADDRESS, "127.0.0.1:8080",
        env="SPEARLET_SMS_HTTP_ADDR", meaning="The SMS's HTTP, which keeps tasks, files of executables and nodes."),
    Key("spearlet.sms_token_path", "spearlet.sms_token_path", PATH_OR_NONE, "",
        env="SPEARLET_SMS_TOKEN_PATH", meaning="A file with the token that the SMS asks for; the token itself may be in the environment, SPEARLET_SMS_TOKEN."),
    Key("spearlet.sms_ca_path", "spearlet.sms_ca_path", PATH_OR_NONE, "",
        env="SPEARLET_SMS_CA_PATH", meaning="Who must have signed the certificates of the SMS's gRPC and HTTP, PEM; with it both connections are encrypted."),
    Key("spearlet.sms_cert_path", "spearlet.sms_cert_path", PATH_OR_NONE, "",
        env="SPEARLET_SMS_CERT_PATH", meaning="The certificate chain to show to the SMS, PEM; needs sms_ca_path."),
    Key("spearlet.sms_key_path", "spearlet.sms_key_path", PATH_OR_NONE, "",
        env="SPEARLET_SMS_KEY_PATH", meaning="The private key of sms_cert_path, PEM."),
    Key("spearlet.auto_register", "spearlet.auto_register", BOOL, False,
        env="SPEARLET_AUTO_REGISTER", flags="--auto-register",
        meaning="Connect to the SMS and register at start, and exit if that fails."),
    Key("spearlet.advertise_ip", "spearlet.advertise_ip", TEXT, "",
        env="SPEARLET_ADVERTISE_IP POD_IP",
        meaning="The address under which others reach this node; empty means the one it listens on."),
    Key("spearlet.heartbeat_interval", "spearlet.heartbeat_interval", SECONDS, 30,
        env="SPEARLET_HEARTBEAT_INTERVAL", meaning="Seconds between two heartbeats."),
    Key("spearlet.cleanup_interval", "cleanup_interval", SECONDS, 300,
        env="SPEARLET_CLEANUP_INTERVAL", flags="--cleanup-interval", meaning="Seconds between two removals: of lost nodes at an SMS, of unused content at a SPEARlet."),
    Key("spearlet.sms_connect_timeout_ms", "spearlet.sms_connect_timeout_ms", MILLISECONDS, 15000,
        env="SPEARLET_SMS_CONNECT_TIMEOUT_MS", meaning="Milliseconds to wait for the SMS at the start."),
    Key("spearlet.sms_connect_retry_ms", "spearlet.sms_connect_retry_ms", MILLISECONDS, 500,
        env="SPEARLET_SMS_CONNECT_RETRY_MS", meaning="Milliseconds between attempts to connect to the SMS (100 at least); what failed at a link that was lost waits twice as long each time."),
    Key("spearlet.reconnect_total_timeout_ms", "spearlet.reconnect_total_timeout_ms", MILLISECONDS, 300000,
        env="SPEARLET_RECONNECT_TOTAL_TIMEOUT_MS", meaning="Milliseconds to try again after a lost connection."),

    Key("spearlet.grpc.addr", "grpc_addr", ADDRESS, "127.0.0.1:50052",
        env="SPEARLET_GRPC_ADDR", flags="--grpc-addr", meaning="Where gRPC listens."),
    Key("spearlet.grpc.enable_tls", "grpc_tls.enabled", BOOL, False,
        env="SPEARLET_GRPC_ENABLE_TLS", meaning="Encrypt gRPC; needs both paths."),
    Key("spearlet.grpc.cert_path", "grpc_tls.cert_path", PATH_OR_NONE, "",
        env="SPEARLET_GRPC_TLS_CERT_PATH", meaning="The certificate chain of gRPC, PEM."),
    Key("spearlet.grpc.key_path", "grpc_tls.key_path", PATH_OR_NONE, "",
        env="SPEARLET_GRPC_TLS_KEY_PATH", meaning="The private key of gRPC, PEM."),
    Key("spearlet.grpc.client_ca_path", "grpc_tls.client_ca_path", PATH_OR_NONE, "",
        env="SPEARLET_GRPC_TLS_CLIENT_CA_PATH", meaning="Who must have signed the certificate of whoever connects to gRPC, PEM; needs enable_tls."),

    Key("spearlet.http.cors_enabled", "cors_enabled", BOOL, True,
        env="SPEARLET_HTTP_CORS_ENABLED", meaning="Let pages of other origins call the REST API."),
    Key("spearlet.http.swagger_enabled", "enable_swagger", BOOL, True,
        env="SPEARLET_HTTP_SWAGGER_ENABLED", flags="--enable-swagger --disable-swagger", meaning="Serve the Swagger UI."),
    Key("spearlet.http.server.addr", "http_addr", ADDRESS, "127.0.0.1:8081",
        env="SPEARLET_HTTP_ADDR", flags="--http-addr", meaning="Where HTTP listens."),

    Key("spearlet.bus.addr", "bus_addr", ADDRESS, "127.0.0.1:50054",
        env="SPEARLET_BUS_ADDR", flags="--bus-addr", meaning="Where the ZeroMQ event bus listens."),

    Key("spearlet.storage.backend", "spearlet.storage_backend", BACKEND, "memory",
        env="SPEARLET_STORAGE_BACKEND", meaning="Accepted, without effect: memory, sled or rocksdb."),
    Key("spearlet.storage.data_dir", "data_dir", PATH, "./data/spearlet",
        env="SPEARLET_STORAGE_DATA_DIR", flags="--data-dir", meaning="The directory of everything that is kept."),
    Key("spearlet.storage.max_cache_size_mb", "spearlet.max_cache_size_mb", COUNT_OR_0, 512,
        env="SPEARLET_STORAGE_MAX_CACHE_MB",
        meaning="MiB of executables kept, as fetched and again as compiled; the least recently used make room."),
    Key("spearlet.storage.compression_enabled", "spearlet.compression_enabled", BOOL, True,
        env="SPEARLET_STORAGE_COMPRESSION_ENABLED", meaning="Accepted, without effect."),
    Key("spearlet.storage.max_object_size", "max_object_size", BYTES, 67108864,
        env="SPEARLET_STORAGE_MAX_OBJECT_SIZE", meaning="Bytes that one object may have."),

    Key("spearlet.logging.level", "log.level", LEVEL, "info",
        env="SPEARLET_LOG_LEVEL", flags="--log-level", meaning="The least important lines to log, from trace to error."),
    Key("spearlet.logging.format", "log.format", FORMAT, "pretty",
        env="SPEARLET_LOG_FORMAT", flags="--log-format", meaning="How a log line looks: json, pretty or compact."),
    Key("spearlet.logging.file", "log.file", PATH_OR_NONE, "./logs/spearlet.log",
        env="SPEARLET_LOG_FILE", flags="--log-file", meaning="A file to log to, besides stderr, or nothing; the default moves with data_dir."),

    Key("spearlet.llm.credentials", "llm.credentials", LLM_CREDENTIALS, [],
        env="SPEARLET_LLM_CREDENTIALS", meaning="Where the keys of model backends are found: tables of name and api_key_env; in the environment JSON."),
    Key("spearlet.llm.backends", "llm.backends", LLM_BACKENDS, [],
        env="SPEARLET_LLM_BACKENDS", meaning="The model backends of this node: tables, see docs/agents.md; in the environment JSON."),
)
# fmt: on

ALIASES = (
    ("logging.", "log."),
    ("spearlet.log.", "spearlet.logging."),
    ("http.enable_swagger", "enable_swagger"),
)


def keys_for(role: Role) -> list[Key]:
    """The one key for each field that counts in `role`."""
    chosen = {key.field: key for key in (KEYS if role is Role.SPEARLET else reversed(KEYS))}
    return [key for key in KEYS if chosen[key.field] is key]


def canonical(name: str) -> str:
    """The table's spelling of a TOML name."""
    for alias, prefix in ALIASES:
        if name.startswith(alias):
            return prefix + name.removeprefix(alias)
    return name
