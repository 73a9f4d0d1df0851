"""How the world speaks: adapters translate, block and open sockets; they never decide."""
