"""The same login on FastAPI, with argon2-cffi at the same parameters."""

from typing import Annotated

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordRequestForm

app = FastAPI()
hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
users = {"ada@example.com": hasher.hash("correct horse battery staple")}
decoy = hasher.hash("decoy")


@app.post("/v1/login")
def login(form: Annotated[OAuth2PasswordRequestForm, Depends()]):
    stored = users.get(form.username)
    try:
        hasher.verify(stored or decoy, form.password)
    except VerifyMismatchError:
        stored = None
    if stored is None:
        raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Bearer"})
    return {"access_token": "x", "token_type": "bearer"}


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}
