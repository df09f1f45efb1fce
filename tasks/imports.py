"""Large libraries are imported one at a time, whichever threads ask for them."""

from threading import RLock

alone = RLock()  # imports of TensorFlow and MLflow by two threads at once may wait for one another, and for good
