"""Names in a machine configuration: the kinds that we read, and all that is ignored by name.

Of every Talos release from 1.0 to the development of 1.15: the keys of the single document on the
way to what we read, and the kinds of the other documents. What stands below an ignored key or in an
ignored document is not looked at. Source: siderolabs/talos, pkg/machinery/config.
"""

from __future__ import annotations

from typing import Final

API_VERSION: Final = "v1alpha1"
"""Of all documents but the single one, which has none."""

KUBESPAN: Final = "KubeSpanConfig"
ENDPOINTS: Final = "KubeSpanEndpointsConfig"
IDENTITY: Final = "DiscoveryIdentityConfig"
SERVICE: Final = "DiscoveryServiceConfig"

OWN: Final = "UserspaceNodeConfig"
"""Not Talos's, and not to be taken for one of its kinds."""

OLD_KINDS: Final = {"KubespanEndpointsConfig": ENDPOINTS}
"""Kinds that were written otherwise once, in Talos's pages at least."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ROOT: Final = frozenset({"debug", "persist"})

MACHINE: Final = _names(
    """
    acceptedCAs baseRuntimeSpecOverrides ca certSANs controlPlane disks env features files install
    kernel kubelet logging nodeAnnotations nodeLabels nodeTaints pods registries seccompProfiles
    sysctls sysfs systemDiskEncryption time token udev
    """
)

MACHINE_NETWORK: Final = _names(
    """
    disableSearchDomain extraHostEntries hostname interfaces nameservers searchDomains
    """
)

CLUSTER: Final = _names(
    """
    acceptedCAs adminKubeconfig aescbcEncryptionSecret aggregatorCA allowSchedulingOnControlPlanes
    allowSchedulingOnMasters apiServer ca clusterName controlPlane controllerManager coreDNS etcd
    externalCloudProvider extraManifestHeaders extraManifests inlineManifests network proxy
    scheduler secretboxEncryptionSecret serviceAccount token
    """
)

KINDS: Final = _names(
    """
    BGPInstanceConfig BlackholeRouteConfig BondConfig BridgeConfig CRIBaseRuntimeSpecConfig
    CRICustomizationConfig ContainerConfig DHCPv4Config DHCPv6Config DummyLinkConfig
    EnvironmentConfig EtcFileConfig EthernetConfig EventSinkConfig ExistingVolumeConfig
    ExtensionServiceConfig ExternalVolumeConfig FilesystemScrubConfig FilesystemTrimConfig
    HCloudVIPConfig HTTPProbeConfig HostnameConfig ImageCacheConfig ImageVerificationConfig
    KernelModuleConfig KmsgLogConfig KubeAPIServerCAConfig KubeAPIServerConfig
    KubeAdmissionControlConfig KubeAggregatorCAConfig KubeAuditPolicyConfig
    KubeAuthenticationConfig KubeAuthorizerConfig KubeClusterConfig KubeControllerManagerConfig
    KubeCoreDNSConfig KubeCredentialProviderConfig KubeEtcdEncryptionConfig
    KubeExternalManifestConfig KubeFlannelCNIConfig KubeInlineManifestConfig KubeNetworkConfig
    KubeNodeConfig KubePrismConfig KubeProxyConfig KubeSchedulerConfig KubeServiceAccountConfig
    KubeStaticPodConfig KubeTalosAPIAccessConfig KubeletConfig LVMLogicalVolumeConfig
    LVMVolumeGroupConfig Layer2VIPConfig LinkAliasConfig LinkConfig NetworkDefaultActionConfig
    NetworkRuleConfig OOMConfig PCIDriverRebindConfig RAIDArrayConfig RawVolumeConfig
    RegistryAuthConfig RegistryMirrorConfig RegistryTLSConfig ResolverConfig RoutingRuleConfig
    SecurityProfileConfig SideroLinkConfig StaticHostConfig SwapVolumeConfig SysctlConfig
    SysfsConfig TCPProbeConfig TimeSyncConfig TrustedRootsConfig UdevRulesConfig
    UnattendedInstallConfig UserVolumeConfig VLANConfig VRFConfig VethConfig VolumeConfig
    WatchdogTimerConfig WireguardConfig ZswapConfig
    """
)
