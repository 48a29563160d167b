"""Secrets on their way to a node: sealed in a file, the key in the environment that Slurm keeps for the job. Neither tells
anything without the other, so no file on the cluster holds a value. Opened by `openssl enc -d -aes-256-ctr -pbkdf2 -iter 1`."""

import hashlib
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def new_key() -> str:
    """256 bits in hexadecimal: no stretching is needed, so one iteration of PBKDF2 does."""
    return secrets.token_hex(32)


def seal(data: bytes, key: str) -> bytes:
    """The format of openssl-enc(1): `Salted__`, 8 bytes of salt, AES-256-CTR with key and IV from PBKDF2-HMAC-SHA256."""
    salt = secrets.token_bytes(8)
    derived = hashlib.pbkdf2_hmac("sha256", key.encode(), salt, 1, 48)
    encryptor = Cipher(algorithms.AES(derived[:32]), modes.CTR(derived[32:])).encryptor()
    return b"Salted__" + salt + encryptor.update(data) + encryptor.finalize()
