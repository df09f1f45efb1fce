#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
typedef unsigned long long u64;
static double setting(const char *name, double usual) { const char *s = getenv(name); return s ? atof(s) : usual; }
int nvmlInit_v2(void) { return (int)setting("FAKE_INIT", 0); }
const char *nvmlErrorString(int code) { return code == 9 ? "Driver Not Loaded" : "Not Supported"; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
  if (index > 7) return 2;
  *device = (void *)(long)(index + 1);
  return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
  *device = (void *)(long)100;
  return strcmp(uuid, "GPU-abc") ? 6 : 0;
}
int nvmlDeviceGetName(void *device, char *name, unsigned length) {
  snprintf(name, length, "Fake %ld", (long)device - 1);
  return 0;
}
int nvmlSystemGetDriverVersion(char *version, unsigned length) { snprintf(version, length, "580.1"); return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, u64 *mj) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  double step = setting("FAKE_STEP_S", 0.001), s = now.tv_sec % 100000 + now.tv_nsec / 1e9;
  u64 moved = (u64)((u64)(s / step) * step * setting("FAKE_WATTS", 200) * 1000);
  *mj = getenv("FAKE_FROZEN") ? 7 : moved;
  return 0;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) { *mw = setting("FAKE_METER_WATTS", 200) * 1000; return 0; }
int nvmlDeviceGetClockInfo(void *device, unsigned kind, unsigned *mhz) { *mhz = kind == 1 ? 1980 : 3201; return 0; }
int nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *c) { *c = 41 + sensor; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *mw) { return 3; }
