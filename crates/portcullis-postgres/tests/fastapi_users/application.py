"""An application with fastapi-users as its documentation has it.

create SCHEMA   makes the table in a schema and registers users
log-in SCHEMA   logs them in again, or fails
"""

import asyncio
import os
import sys
import uuid

from fastapi.security import OAuth2PasswordRequestForm
from fastapi_users import BaseUserManager, UUIDIDMixin
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from fastapi_users.schemas import BaseUserCreate
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

# One of the hasher that fastapi-users has today, one of a hasher it had, one who may not log in.
USERS = [
    ("alice@example.com", "correct horse alice", Argon2Hasher(), True),
    ("bob@example.com", "correct horse bob", BcryptHasher(), True),
    ("carol@example.com", "correct horse carol", Argon2Hasher(), False),
]


class Base(DeclarativeBase):
    pass


class User(SQLAlchemyBaseUserTableUUID, Base):
    pass


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    pass


async def main(command: str, schema: str) -> None:
    url = os.environ["PORTCULLIS_TEST_POSTGRES_URL"].partition("?")[0].partition("://")[2]
    engine = create_async_engine(
        f"postgresql+asyncpg://{url}",
        connect_args={"server_settings": {"search_path": f'"{schema}"'}},
    )
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_sessionmaker(engine, expire_on_commit=False)() as session:
        users = SQLAlchemyUserDatabase(session, User)
        for email, password, hasher, is_active in USERS:
            if command == "create":
                manager = UserManager(users, PasswordHelper(PasswordHash((hasher,))))
                user = BaseUserCreate(email=email, password=password, is_active=is_active)
                await manager.create(user)
            else:
                form = OAuth2PasswordRequestForm(username=email, password=password)
                assert await UserManager(users).authenticate(form), email
    await engine.dispose()


asyncio.run(main(*sys.argv[1:]))
