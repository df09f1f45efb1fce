"""Signing what is shipped, and having a device take only that, and only the newest.

What ships uses this:

    from tasks import paths
    from tasks.sign import fleet, signature
    from tasks.sign.device import install, verify

    signature.sign(bundle, key)                the content of model.sig for a folder; a bundle of out/ is not touched
    fleet.publish(paths.FLEET, {device: content}, fleet.release_key(paths.FLEET))
    fleet.signature(paths.FLEET, device)       what must lie in the bundle on the device as model.sig

    verify.verify(folder, keys)                on the device: `python verify.py BUNDLE KEY.pub...`
    install.trust(store, root)                 once: `python -m PACKAGE.install trust STORE ROOT.json`
    install.install(source, store, device, metadata)
                                               `python -m PACKAGE.install take SOURCE STORE DEVICE METADATA`

To a device go, besides the bundle and its model.sig, the folder `device/` of this one (under any name), and each time
`fleet/metadata/`. `fleet/metadata/1.root.json` is what a device trusts once, when it is set up; it need not be given
again. `verify` and `install` raise `verify.RefusedError`, whose `refusal` is the exit code of the commands; they write
nothing on a refusal but what was seen of the metadata.

`keys` holds private keys outside of every project; `fleet` says which of them count, and what is the newest.
"""
